-- name: GetAPIKey :one
-- GetAPIKey reads a key with all that tells whether it opens its tenant. Nobody has
-- entered the tenant yet: what the key says of it is where to look, and the secret
-- decides.
select sqlc.embed(k), s.secret_hash, m.status as member_status, now()::timestamptz as read_at,
       coalesce(k.last_used_at < now() - interval '1 minute', true)::boolean as unnoted
from api_keys as k
join api_key_secrets as s on s.tenant_id = k.tenant_id and s.id = k.id
join memberships as m on m.tenant_id = k.tenant_id and m.user_id = k.created_by
where k.tenant_id = @tenant_id and k.id = @id;

-- name: GetActingMember :one
-- GetActingMember reads for whom a key acts, if they are a member still: who that is, the
-- role, and the tenant's status because a server may remember another. Nobody has entered
-- the tenant yet.
select u.id as user_id, u.email, u.display_name, u.created_at, m.id as membership_id, m.role, t.status as tenant_status
from memberships as m
join users as u on u.id = m.user_id
join tenants as t on t.id = m.tenant_id
where m.tenant_id = @tenant_id and m.user_id = @user_id and m.status = 'ACTIVE';

-- name: TouchAPIKey :exec
-- TouchAPIKey notes that a key was used. It waits for nobody: who holds the row revokes
-- the key, replaces it or notes its use. As GetAPIKey it runs before the tenant is entered.
update api_keys as u set last_used_at = now()
where u.tenant_id = @tenant_id and u.id in (select k.id from api_keys as k where k.tenant_id = @tenant_id and k.id = @id for update skip locked);

-- name: LockTenantForAPIKeys :exec
-- LockTenantForAPIKeys lets one transaction at a time add keys to a tenant, so that the
-- count of them holds.
select id from tenants where id = @id for no key update;

-- name: CountLiveAPIKeys :one
-- CountLiveAPIKeys counts the keys of a tenant that open it. In the transaction that adds
-- one, which the control role runs because only that role records who may enter.
select count(*) from api_keys
where tenant_id = @tenant_id and revoked_at is null and expires_at > now();

-- name: CreateAPIKey :one
-- CreateAPIKey stores a key, in the transaction of the control role that records it.
insert into api_keys (tenant_id, id, name, ending, scopes, created_by, expires_at)
values (@tenant_id, @id, @name, @ending, @scopes, @created_by, @expires_at)
returning *;

-- name: CreateAPIKeySecret :exec
-- CreateAPIKeySecret stores the hash of a key's secret, which the request role never sees.
insert into api_key_secrets (tenant_id, id, secret_hash) values (@tenant_id, @id, @secret_hash);

-- name: LockAPIKey :one
-- LockAPIKey reads a key and keeps it from changing until this transaction ends, which the
-- control role runs because only that role records who may enter.
select sqlc.embed(k), now()::timestamptz as read_at from api_keys as k
where k.tenant_id = @tenant_id and k.id = @id
for update;

-- name: ReplaceAPIKey :exec
-- ReplaceAPIKey says which key took the place of another, and when that ends, in the
-- transaction of the control role that records it.
update api_keys set replaced_by = @replaced_by, expires_at = least(expires_at, @expires_at)
where tenant_id = @tenant_id and id = @id;

-- name: RevokeAPIKeysOfMember :many
-- RevokeAPIKeysOfMember ends the keys that act for a member, in the transaction of the
-- control role that takes the member out: should the person come back, the keys do not.
update api_keys set revoked_at = now()
where tenant_id = @tenant_id and created_by = @created_by and revoked_at is null and expires_at > now()
returning *;

-- name: RevokeAPIKey :one
-- RevokeAPIKey ends a key, at once for every server, in the transaction of the control
-- role that records it. No row: no such key, or it had been revoked.
update api_keys set revoked_at = now()
where tenant_id = @tenant_id and id = @id and revoked_at is null
returning *;
