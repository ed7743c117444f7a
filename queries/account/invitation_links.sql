-- name: ListInvitationLinksAsc :many
-- ListInvitationLinksAsc lists links between two bounds, both excluded, oldest first.
select * from invitation_links
where tenant_id = @tenant_id
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
order by created_at, id
limit @row_limit::integer;

-- name: ListInvitationLinksDesc :many
-- ListInvitationLinksDesc lists links between two bounds, both excluded, newest first.
select * from invitation_links
where tenant_id = @tenant_id
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
order by created_at desc, id desc
limit @row_limit::integer;

-- name: CountInvitationLinks :one
-- CountInvitationLinks counts the links there ever were.
select count(*) from invitation_links where tenant_id = @tenant_id;

-- name: ListInvitationLinksByIDs :many
-- ListInvitationLinksByIDs reads the links that exist among ids, in any order.
select * from invitation_links
where tenant_id = @tenant_id and id = any(@ids::uuid[]);
