-- name: ListInvitationsAsc :many
-- ListInvitationsAsc lists invitations between two bounds, both excluded, oldest first.
select * from invitations
where tenant_id = @tenant_id
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
order by created_at, id
limit @row_limit::integer;

-- name: ListInvitationsDesc :many
-- ListInvitationsDesc lists invitations between two bounds, both excluded, newest first.
select * from invitations
where tenant_id = @tenant_id
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
order by created_at desc, id desc
limit @row_limit::integer;

-- name: CountInvitations :one
-- CountInvitations counts the invitations there ever were.
select count(*) from invitations where tenant_id = @tenant_id;
