-- name: Attempt :one
-- Attempt counts an attempt before it is made, and tells whether whoever makes it has
-- succeeded before. After free attempts each has to wait twice as long after the one
-- before it, up to the longest wait; after memory seconds without one it begins anew. No
-- row: it has to wait, and was not counted. It is not tenant-scoped: who signs in, or
-- asks for a mail, is nobody's yet.
insert into attempts as a (key, failures, last_at, next_at, expires_at)
values (@key, 1, now(), now(), now() + interval '1 second' * @memory::float8)
on conflict (key) do update set
    failures = case when a.last_at + interval '1 second' * @memory::float8 <= now() then 1 else least(a.failures + 1, 60 + @free::integer) end,
    last_at = now(),
    next_at = now() + interval '1 second' * case
        when a.last_at + interval '1 second' * @memory::float8 <= now() or a.failures < @free::integer then 0
        when power(2, a.failures - @free::integer) * @first_wait::float8 > @longest_wait::float8 then @longest_wait::float8
        else power(2, a.failures - @free::integer) * @first_wait::float8 end,
    expires_at = greatest(a.known_until, now() + interval '1 second' * @memory::float8)
where a.next_at <= now() or a.failures < @free::integer
returning coalesce(a.known_until > now(), false)::boolean as known;

-- name: GetAttempt :one
-- GetAttempt reads how long the next attempt of a key has to wait.
select next_at, now()::timestamptz as read_at from attempts where key = @key;

-- name: ForgiveAttempt :exec
-- ForgiveAttempt takes back what Attempt counted, for one that was not in vain.
update attempts set failures = greatest(failures - 1, 0) where key = @key;

-- name: KnowAttempt :exec
-- KnowAttempt notes that a key has succeeded, which is known for thirty days.
update attempts set failures = 0, next_at = now(), known_until = now() + interval '30 days', expires_at = now() + interval '30 days'
where key = @key;

-- name: DeleteOldAttempts :exec
-- DeleteOldAttempts forgets a few keys whose time is over, more than one request adds.
delete from attempts
where key in (select a.key from attempts as a where a.expires_at < now() order by a.expires_at limit 20 for update skip locked);
