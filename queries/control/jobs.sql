-- name: CreateJob :exec
-- CreateJob leaves work to River, and wakes whoever listens once this transaction has
-- committed. It is not tenant-scoped: the platform's own worker takes it.
with job as (
    insert into river_job (kind, queue, args, max_attempts)
    values (@kind, @queue, @args, @max_attempts)
    returning queue
)
select pg_notify('control.river_insert', json_build_object('queue', queue)::text) from job;

-- name: CreateJobOfLink :exec
-- CreateJobOfLink is CreateJob for a mail that holds a link, where that link was noted in
-- this transaction, and nothing where it was not: the same work either way.
with job as (
    insert into river_job (kind, queue, args, max_attempts)
    select @kind, @queue, @args, @max_attempts from mail_links as l where l.id = @link_id
    returning queue
)
select pg_notify('control.river_insert', json_build_object('queue', queue)::text) from job;

-- name: CreateJobOfInvitation :exec
-- CreateJobOfInvitation is CreateJob for the mail of an invitation, where that was stored in
-- this transaction, and nothing where it was not: the same work either way.
with job as (
    insert into river_job (kind, queue, args, max_attempts)
    select @kind, @queue, @args, @max_attempts from invitations as i where i.tenant_id = @tenant_id and i.id = @invitation_id
    returning queue
)
select pg_notify('control.river_insert', json_build_object('queue', queue)::text) from job;

-- name: WakeJobsOfTenant :exec
-- WakeJobsOfTenant has what waits for a tenant done now, once this transaction has
-- committed. It is not tenant-scoped: the platform's own worker takes it.
with woken as (
    update river_job set state = 'available', scheduled_at = now()
    where state = 'scheduled' and args @> jsonb_build_object('home', @of::uuid)
    returning queue
)
select pg_notify('control.river_insert', json_build_object('queue', w.queue)::text) from (select distinct queue from woken) as w;

-- name: MayNotify :one
-- MayNotify tells whether CreateJob may wake anybody: hardening takes that right from
-- everybody but this role.
select has_function_privilege('pg_catalog.pg_notify(text, text)', 'execute')::boolean as may;
