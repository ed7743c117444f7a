-- name: LockSigningKeys :exec
-- LockSigningKeys makes whoever else would change the keys wait until this
-- transaction ends. Reading them goes on.
lock table signing_keys in share row exclusive mode;

-- name: ListSigningKeys :many
-- ListSigningKeys reads every key, the newest first, with the time at the database.
select sqlc.embed(k), now()::timestamptz as read_at from signing_keys as k
order by k.activates_at desc;

-- name: CreateSigningKey :exec
-- CreateSigningKey publishes a key that signs after so many seconds.
insert into signing_keys (id, public_key, private_key_sealed, activates_at)
values (@id, @public_key, @private_key_sealed, now() + interval '1 second' * @lead_seconds::bigint);

-- name: RetireSigningKeys :exec
-- RetireSigningKeys lets every other key sign until the newest one does, and be
-- accepted for so many seconds more.
update signing_keys as k
set retires_at = n.activates_at, expires_at = n.activates_at + interval '1 second' * @accepted_seconds::bigint
from signing_keys as n
where n.id = @newest and k.id <> n.id and k.retires_at is null;

-- name: DeleteOtherSigningKeys :execrows
-- DeleteOtherSigningKeys leaves no key but one: the tokens of the others are refused.
delete from signing_keys where id <> @id;

-- name: EraseRetiredSigningKeys :execrows
-- EraseRetiredSigningKeys erases the private halves that have signed no token for so
-- many seconds.
update signing_keys set private_key_sealed = null
where private_key_sealed is not null and retires_at <= now() - interval '1 second' * @grace_seconds::bigint;

-- name: DeleteExpiredSigningKeys :execrows
-- DeleteExpiredSigningKeys deletes the keys whose last token has expired.
delete from signing_keys where expires_at <= now();

-- name: ResealSigningKey :exec
-- ResealSigningKey stores a private half as another key-encryption key sealed it.
update signing_keys set private_key_sealed = @private_key_sealed where id = @id;
