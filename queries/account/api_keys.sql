-- name: ListAPIKeysAsc :many
-- ListAPIKeysAsc lists keys between two bounds, both excluded, oldest first.
select * from api_keys
where tenant_id = @tenant_id
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
order by created_at, id
limit @row_limit::integer;

-- name: ListAPIKeysDesc :many
-- ListAPIKeysDesc lists keys between two bounds, both excluded, newest first.
select * from api_keys
where tenant_id = @tenant_id
  and (created_at, id) > (@low_created_at::timestamptz, @low_id::uuid)
  and (created_at, id) < (@high_created_at::timestamptz, @high_id::uuid)
order by created_at desc, id desc
limit @row_limit::integer;

-- name: CountAPIKeys :one
-- CountAPIKeys counts the keys, those that work no more too.
select count(*) from api_keys where tenant_id = @tenant_id;

-- name: ListAPIKeysByIDs :many
-- ListAPIKeysByIDs reads the keys that exist among ids, in any order.
select * from api_keys
where tenant_id = @tenant_id and id = any(@ids::uuid[]);
