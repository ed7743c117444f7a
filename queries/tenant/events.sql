-- name: CreateEvent :exec
-- CreateEvent records what a transaction did; call it inside that transaction.
insert into events (tenant_id, id, actor_id, action, entity_id, request_id, data)
values (@tenant_id, @id, @actor_id, @action, @entity_id, @request_id, @data);

-- name: ListEventsOfEntity :many
-- ListEventsOfEntity reads what happened to one thing, oldest first.
select * from events
where tenant_id = @tenant_id and entity_id = @entity_id
order by occurred_at, id
limit @row_limit::integer;
