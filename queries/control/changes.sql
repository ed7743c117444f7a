-- name: NotifyChanged :exec
-- NotifyChanged tells every server, once this transaction commits, to forget what it
-- remembers of a tenant, a user or a session. Who changes one of them calls it in the
-- same transaction. It holds an id and nothing else: whoever is let into the database
-- can listen.
select pg_notify('commonhold', @kind::text || ' ' || @id::text);
