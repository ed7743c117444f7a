-- Invitations are written here and not among a tenant's own statements: the mail, the log
-- and the membership that go with them are one transaction of the control role. Each
-- statement is bound to one tenant, but for that of who shows a token and nothing else.

-- name: LockInviter :one
-- LockInviter reads who asks, in a tenant that is open, and keeps both as they are until
-- this transaction ends. Whoever else asks it in this tenant waits. No row: the person
-- is no member any more, or the tenant is closed.
select m.* from memberships as m
join tenants as t on t.id = m.tenant_id
where m.tenant_id = @tenant_id and m.user_id = @user_id and m.status = 'ACTIVE' and t.status in ('ACTIVE', 'READ_ONLY')
for no key update of t
for share of m;

-- name: GetInvitee :one
-- GetInvitee tells what is known of an address before it is invited: to the tenant,
-- whether a member has it and how many invitations are open that somebody sent; to the
-- mail alone, whether it has an account.
select exists (select from users as u join memberships as m on m.user_id = u.id
               where m.tenant_id = @tenant_id and u.email = @email and m.status <> 'REMOVED') as is_member,
       exists (select from users as u where u.email = @email) as has_account,
       (select count(*) from invitations as i
        where i.tenant_id = @tenant_id and i.link_id is null and i.accepted_at is null and i.revoked_at is null and i.expires_at > now()) as open;

-- name: LockInvitationOfEmail :exec
-- LockInvitationOfEmail keeps the invitation of an address that waits for an answer, if
-- there is one, from changing until this transaction ends. It comes before the tenant is
-- locked, as in whatever locks both.
select id from invitations
where tenant_id = @tenant_id and email = @email and accepted_at is null and revoked_at is null
for update;

-- name: CreateInvitation :one
-- CreateInvitation stores an invitation for seven days. One of the same address that has
-- expired gives its place up, and so does one that somebody had by a link: a member's word
-- goes before it. No row: one is open that a member sent.
insert into invitations (tenant_id, id, email, role, invited_by, expires_at)
values (@tenant_id, @id, @email, @role, @invited_by, now() + interval '7 days')
on conflict (tenant_id, email) where accepted_at is null and revoked_at is null do update set
    id = excluded.id, role = excluded.role, invited_by = excluded.invited_by, link_id = null,
    created_at = now(), sent_at = now(), expires_at = excluded.expires_at
where invitations.expires_at <= now() or invitations.link_id is not null
returning *;

-- name: LockInvitation :one
-- LockInvitation reads an invitation of one tenant with the moment of reading, and keeps
-- it from changing until this transaction ends.
select sqlc.embed(i), now()::timestamptz as read_at,
       exists (select from users as u where u.email = i.email) as has_account
from invitations as i
where i.tenant_id = @tenant_id and i.id = @id
for update of i;

-- name: RenewInvitation :one
-- RenewInvitation lets an invitation last seven days more, by the word of another, and no
-- more by that of a link.
update invitations set sent_at = now(), expires_at = now() + interval '7 days', invited_by = @invited_by, link_id = null
where tenant_id = @tenant_id and id = @id
returning *;

-- name: RevokeInvitation :one
-- RevokeInvitation takes an invitation back.
update invitations set revoked_at = now()
where tenant_id = @tenant_id and id = @id
returning *;

-- name: GetOpenInvitation :one
-- GetOpenInvitation finds the invitation of a token, which says its id alone, with its
-- tenant and the role of who vouches for it. No row: it was accepted or taken back, has
-- expired, never was, or nobody vouches any more.
select sqlc.embed(i), sqlc.embed(t), m.role as inviter_role from invitations as i
join tenants as t on t.id = i.tenant_id
join memberships as m on m.tenant_id = i.tenant_id and m.user_id = i.invited_by
where i.id = @of::uuid and i.accepted_at is null and i.revoked_at is null and i.expires_at > now()
  and m.status = 'ACTIVE';

-- name: AcceptInvitation :one
-- AcceptInvitation uses an invitation up, if it is as it was when it was looked at. No
-- row: it is not.
update invitations as i set accepted_at = now(), accepted_by = @user_id
from memberships as m
where i.tenant_id = @tenant_id and i.id = @id and i.accepted_at is null and i.revoked_at is null and i.expires_at > now()
  and i.email = @email and i.role = @role and i.link_id is not distinct from sqlc.narg('link_id')
  and m.tenant_id = i.tenant_id and m.user_id = i.invited_by and m.status = 'ACTIVE' and m.role = @inviter_role
returning i.id;

-- name: AdmitMember :one
-- AdmitMember lets a person into a tenant who was invited: for the first time or, if
-- somebody asked for them, again. No row: the person is a member already, or was removed,
-- and stays what they are.
insert into memberships (tenant_id, id, user_id, role)
values (@tenant_id, @id, @user_id, @role)
on conflict (tenant_id, user_id) do update set
    role = excluded.role, status = 'ACTIVE', epoch = memberships.epoch + 1, updated_at = now()
where memberships.status = 'REMOVED' and @again::boolean
returning *;
