-- name: ListAccessEventsAsc :many
-- ListAccessEventsAsc lists who came in and who may, between two bounds, both excluded, oldest first.
-- A null filter lets everything pass.
select * from access_events
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

-- name: ListAccessEventsDesc :many
-- ListAccessEventsDesc lists who came in and who may, between two bounds, both excluded, newest first.
-- A null filter lets everything pass.
select * from access_events
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

-- name: CountAccessEvents :one
-- CountAccessEvents counts what a filter lets pass of who came in and who may.
select count(*) from access_events
where tenant_id = @tenant_id
  and (sqlc.narg(action)::text is null or action = sqlc.narg(action)::text)
  and (sqlc.narg(actor_id)::uuid is null or actor_id = sqlc.narg(actor_id)::uuid)
  and (sqlc.narg(entity_id)::uuid is null or entity_id = sqlc.narg(entity_id)::uuid)
  and (sqlc.narg(since)::timestamptz is null or occurred_at >= sqlc.narg(since)::timestamptz)
  and (sqlc.narg(until)::timestamptz is null or occurred_at < sqlc.narg(until)::timestamptz);

-- name: ListAccessActionsThatHappened :many
-- ListAccessActionsThatHappened gives those of some actions that were ever recorded, in any
-- order. An action that was not is looked for in all that happened.
select asked.action::text from unnest(@actions::text[]) as asked(action)
where exists (select from access_events as e where e.tenant_id = @tenant_id and e.action = asked.action);
