-- name: ListMembersAsc :many
-- ListMembersAsc lists members, suspended ones too, between two bounds, both excluded, oldest first.
select * from memberships
where tenant_id = @tenant_id and status <> 'REMOVED'
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
order by created_at, id
limit @row_limit::integer;

-- name: ListMembersDesc :many
-- ListMembersDesc lists members, suspended ones too, between two bounds, both excluded, newest first.
select * from memberships
where tenant_id = @tenant_id and status <> 'REMOVED'
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
order by created_at desc, id desc
limit @row_limit::integer;

-- name: CountMembers :one
-- CountMembers counts the members, suspended ones too.
select count(*) from memberships
where tenant_id = @tenant_id and status <> 'REMOVED';

-- name: ListMembersByIDs :many
-- ListMembersByIDs reads the memberships that exist among ids, removed ones too, in
-- any order.
select * from memberships
where tenant_id = @tenant_id and id = any(@ids::uuid[]);

-- name: ListUsersByIDs :many
-- ListUsersByIDs reads the people among ids who are or were members of the
-- tenant, in the order of their ids. Anybody else is not there.
select u.* from memberships as m
join users as u on u.id = m.user_id
where m.tenant_id = @tenant_id and m.user_id = any(@user_ids::uuid[])
order by u.id;
