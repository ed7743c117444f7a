-- Links by which people ask for an invitation, written here for the reasons that stand in
-- invitations.sql.

-- name: CountOpenInvitationLinks :one
-- CountOpenInvitationLinks counts the links of a tenant by which somebody may join.
select count(*) from invitation_links
where tenant_id = @tenant_id and revoked_at is null and expires_at > now() and uses < max_uses;

-- name: CreateInvitationLink :one
-- CreateInvitationLink stores a link for some days.
insert into invitation_links (tenant_id, id, role, allowed_domains, max_uses, created_by, expires_at)
values (@tenant_id, @id, @role, @allowed_domains, @max_uses, @created_by, now() + make_interval(days => @days::integer))
returning *;

-- name: GetOpenInvitationLink :one
-- GetOpenInvitationLink finds the link of a token, which says its id alone, with its
-- tenant and who vouches for it. No row: it was used up or taken back, has expired, never
-- was, or nobody vouches any more.
select sqlc.embed(l), sqlc.embed(t), m.role as creator_role, u.display_name as creator_name from invitation_links as l
join tenants as t on t.id = l.tenant_id
join memberships as m on m.tenant_id = l.tenant_id and m.user_id = l.created_by
join users as u on u.id = l.created_by
where l.id = @of::uuid and l.revoked_at is null and l.expires_at > now() and l.uses < l.max_uses
  and m.status = 'ACTIVE';

-- name: HoldInvitationLink :one
-- HoldInvitationLink keeps a link from being taken back until this transaction ends: who
-- takes it back finds what came of it before. No row: it is not open any more.
select id from invitation_links
where tenant_id = @tenant_id and id = @id and revoked_at is null and expires_at > now() and uses < max_uses
for share;

-- name: OfferByLink :one
-- OfferByLink stores an invitation that was asked for by a link, for seven days, but not
-- for longer than the link. One of the same link that is open lasts anew, one that has
-- expired, or that nobody can accept any more, gives its place up. No row: the address is
-- that of somebody who is a member or was removed, or has an invitation of another origin.
insert into invitations (tenant_id, id, email, role, invited_by, link_id, expires_at)
select l.tenant_id, @id::uuid, @email::text, l.role, l.created_by, l.id, least(now() + interval '7 days', l.expires_at)
from invitation_links as l
where l.tenant_id = @tenant_id and l.id = @link_id
  and not exists (select from users as u join memberships as m on m.user_id = u.id
                  where m.tenant_id = @tenant_id and u.email = @email::text)
on conflict (tenant_id, email) where accepted_at is null and revoked_at is null do update set
    id = case when invitations.expires_at > now() and invitations.link_id = excluded.link_id then invitations.id else excluded.id end,
    created_at = case when invitations.expires_at > now() and invitations.link_id = excluded.link_id then invitations.created_at else now() end,
    role = excluded.role, invited_by = excluded.invited_by, link_id = excluded.link_id,
    sent_at = now(), expires_at = excluded.expires_at
where invitations.expires_at <= now() or invitations.link_id = excluded.link_id
   or not exists (select from memberships as m
                  where m.tenant_id = @tenant_id and m.user_id = invitations.invited_by and m.status = 'ACTIVE')
   or invitations.link_id is not null and not exists (
                  select from invitation_links as o
                  where o.tenant_id = @tenant_id and o.id = invitations.link_id
                    and o.revoked_at is null and o.expires_at > now() and o.uses < o.max_uses)
returning *;

-- name: UseInvitationLink :one
-- UseInvitationLink counts who joins by a link; others who do so at the same moment wait.
-- No row: it was used up or taken back.
update invitation_links set uses = uses + 1
where tenant_id = @tenant_id and id = @id and revoked_at is null and expires_at > now() and uses < max_uses
returning uses;

-- name: LockInvitationLink :one
-- LockInvitationLink reads a link of one tenant, and keeps it from changing and from
-- being used until this transaction ends.
select * from invitation_links
where tenant_id = @tenant_id and id = @id
for update;

-- name: RevokeInvitationLink :one
-- RevokeInvitationLink takes a link back.
update invitation_links set revoked_at = now()
where tenant_id = @tenant_id and id = @id
returning *;

-- name: RevokeInvitationsOfLink :many
-- RevokeInvitationsOfLink takes back what waits for an answer and came of a link.
update invitations set revoked_at = now()
where tenant_id = @tenant_id and link_id = @link_id and accepted_at is null and revoked_at is null
returning *;
