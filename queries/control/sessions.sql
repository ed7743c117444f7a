-- name: ListSessionsOfUser :many
-- ListSessionsOfUser lists where a person is signed in, the session that asks first and
-- then the latest. It reads across tenants because a person's devices are no tenant's;
-- the name of a tenant is there while the person is a member.
select s.id, (s.id = @current_id)::boolean as current, s.user_agent, t.name as tenant_name,
       s.created_at, s.last_used_at, s.expires_at
from sessions as s
left join memberships as m on m.tenant_id = s.tenant_id and m.user_id = s.user_id and m.status = 'ACTIVE'
left join tenants as t on t.id = m.tenant_id
where s.user_id = @user_id and s.revoked_at is null and s.expires_at > now()
order by 2 desc, s.created_at desc, s.id
limit 100;

-- name: ExtendSession :exec
-- ExtendSession notes that a session was refreshed: it goes on until then, or as long as
-- it may. It is not tenant-scoped: no tenant is entered while a session is refreshed.
update sessions set last_used_at = now(), expires_at = least(@until::timestamptz, ends_at)
where id = @id;

-- name: ConfirmSession :one
-- ConfirmSession notes that the password was given in a session. It is not tenant-scoped:
-- a password is the person's. No row: the session has ended.
update sessions set confirmed_at = now()
where id = @id and revoked_at is null
returning now()::timestamptz as confirmed_at;

-- name: RevokeSessionOfUser :one
-- RevokeSessionOfUser ends a session of that person, in whichever tenant: a device is the
-- person's. No row: there is none, it has ended, or it is somebody else's.
update sessions set revoked_at = now(), revoked_why = @revoked_why
where id = @id and user_id = @user_id and revoked_at is null and expires_at > now()
returning *;

-- name: RevokeSessionsOfUser :many
-- RevokeSessionsOfUser ends every session of a person but one, in all tenants: what opens
-- them is the person's. The id of no session keeps none.
update sessions set revoked_at = now(), revoked_why = @revoked_why
where user_id = @user_id and revoked_at is null and expires_at > now() and id <> @kept_id
returning *;
