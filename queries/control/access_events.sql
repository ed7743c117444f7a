-- name: CreateAccessEvent :exec
-- CreateAccessEvent records what this transaction did to who may enter a tenant. It
-- writes a tenant-scoped table because nobody has entered the tenant at sign-in.
insert into access_events (tenant_id, id, actor_id, action, entity_id, request_id, data)
values (@tenant_id, @id, @actor_id, @action, @entity_id, @request_id, @data);
