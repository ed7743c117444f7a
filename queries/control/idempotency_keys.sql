-- name: GetIdempotencyKey :one
-- GetIdempotencyKey reads what a person's key stands for. An expired one is not there.
select * from idempotency_keys
where tenant_id = @tenant_id and user_id = @user_id and key = @key and expires_at > now();

-- name: ClaimIdempotencyKey :one
-- ClaimIdempotencyKey takes a key for what this transaction is about to do, and waits
-- for another transaction that has taken it. No row: the key stands for something
-- already. An expired key is taken over.
insert into idempotency_keys (tenant_id, id, user_id, key, request_hash, result, answer, expires_at)
values (@tenant_id, @id, @user_id, @key, @request_hash, @result, @answer, now() + interval '24 hours')
on conflict (tenant_id, user_id, key) do update set
    id = excluded.id, request_hash = excluded.request_hash, result = excluded.result,
    answer = excluded.answer, expires_at = excluded.expires_at
where idempotency_keys.expires_at <= now()
returning id;

-- name: RecordIdempotentResult :exec
-- RecordIdempotentResult says what the effect came to, in the transaction that did it.
update idempotency_keys set result = @result
where tenant_id = @tenant_id and id = @id;

-- name: RecordIdempotentAnswer :exec
-- RecordIdempotentAnswer keeps the first answer that was made of a result.
update idempotency_keys set answer = @answer
where tenant_id = @tenant_id and user_id = @user_id and key = @key and request_hash = @request_hash and answer is null;

-- name: CountIdempotencyKeys :one
-- CountIdempotencyKeys counts a person's keys that have not expired, up to a bound.
select count(*) from (
    select k.id from idempotency_keys as k
    where k.tenant_id = @tenant_id and k.user_id = @user_id and k.expires_at > now()
    limit @row_limit::integer
) as held;

-- name: DeleteExpiredIdempotencyKeys :exec
-- DeleteExpiredIdempotencyKeys sweeps some of the keys that have expired.
delete from idempotency_keys as e
where e.tenant_id = @tenant_id and e.id in (
    select k.id from idempotency_keys as k
    where k.tenant_id = @tenant_id and k.expires_at <= now()
    order by k.expires_at, k.id
    limit @row_limit::integer
    for update skip locked);
