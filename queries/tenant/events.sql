-- name: CreateEvent :exec
-- CreateEvent records what a transaction did; call it inside that transaction.
insert into events (tenant_id, id, actor_id, action, entity_id, request_id, data)
values (@tenant_id, @id, @actor_id, @action, @entity_id, @request_id, @data);

-- name: CreateEvents :exec
-- CreateEvents is CreateEvent for much that one person did, all arrays of one length.
insert into events (tenant_id, id, actor_id, action, entity_id, request_id, data)
select @tenant_id, unnest(@ids::uuid[]), @actor_id, unnest(@actions::text[]), unnest(@entity_ids::uuid[]), @request_id, unnest(@data::jsonb[]);

-- name: ListEventsAsc :many
-- ListEventsAsc lists what happened between two bounds, both excluded, oldest first.
-- A null filter lets everything pass.
select * from events
where tenant_id = @tenant_id
  and (occurred_at, id) > (@low_occurred_at::timestamptz, @low_id::uuid)
  and (occurred_at, id) < (@high_occurred_at::timestamptz, @high_id::uuid)
  and (sqlc.narg(action)::text is null or action = sqlc.narg(action)::text)
  and (sqlc.narg(actor_id)::uuid is null or actor_id = sqlc.narg(actor_id)::uuid)
  and (sqlc.narg(entity_id)::uuid is null or entity_id = sqlc.narg(entity_id)::uuid)
  and (sqlc.narg(since)::timestamptz is null or occurred_at >= sqlc.narg(since)::timestamptz)
  and (sqlc.narg(until)::timestamptz is null or occurred_at < sqlc.narg(until)::timestamptz)
order by occurred_at, id
limit @row_limit::integer;

-- name: ListEventsDesc :many
-- ListEventsDesc lists what happened between two bounds, both excluded, newest first.
-- A null filter lets everything pass.
select * from events
where tenant_id = @tenant_id
  and (occurred_at, id) > (@low_occurred_at::timestamptz, @low_id::uuid)
  and (occurred_at, id) < (@high_occurred_at::timestamptz, @high_id::uuid)
  and (sqlc.narg(action)::text is null or action = sqlc.narg(action)::text)
  and (sqlc.narg(actor_id)::uuid is null or actor_id = sqlc.narg(actor_id)::uuid)
  and (sqlc.narg(entity_id)::uuid is null or entity_id = sqlc.narg(entity_id)::uuid)
  and (sqlc.narg(since)::timestamptz is null or occurred_at >= sqlc.narg(since)::timestamptz)
  and (sqlc.narg(until)::timestamptz is null or occurred_at < sqlc.narg(until)::timestamptz)
order by occurred_at desc, id desc
limit @row_limit::integer;

-- name: CountEvents :one
-- CountEvents counts what a filter lets pass of what happened.
select count(*) from events
where tenant_id = @tenant_id
  and (sqlc.narg(action)::text is null or action = sqlc.narg(action)::text)
  and (sqlc.narg(actor_id)::uuid is null or actor_id = sqlc.narg(actor_id)::uuid)
  and (sqlc.narg(entity_id)::uuid is null or entity_id = sqlc.narg(entity_id)::uuid)
  and (sqlc.narg(since)::timestamptz is null or occurred_at >= sqlc.narg(since)::timestamptz)
  and (sqlc.narg(until)::timestamptz is null or occurred_at < sqlc.narg(until)::timestamptz);

-- name: ListActionsThatHappened :many
-- ListActionsThatHappened gives those of some actions that were ever recorded, in any
-- order. An action that was not is looked for in all that happened.
select asked.action::text from unnest(@actions::text[]) as asked(action)
where exists (select from events as e where e.tenant_id = @tenant_id and e.action = asked.action);
