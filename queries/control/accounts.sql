-- name: CreateUser :one
-- CreateUser stores a person. Errors: users_email_key.
insert into users (id, email, display_name)
values (@id, @email, @display_name)
returning *;

-- name: CreateUserCredentials :exec
-- CreateUserCredentials stores a person's password hash.
insert into user_credentials (user_id, password_hash) values (@user_id, @password_hash);

-- name: SetPasswordHash :exec
-- SetPasswordHash replaces a hash by one of newer parameters, of the same password: where
-- that has become another one it changes nothing.
update user_credentials set password_hash = @password_hash, updated_at = now()
where user_id = @user_id and version = @version;

-- name: GetUserForSignIn :one
-- GetUserForSignIn reads a person with their password hash.
select sqlc.embed(u), c.password_hash, c.version as credentials_version from users as u
join user_credentials as c on c.user_id = u.id
where u.email = @email;

-- name: GetUser :one
-- GetUser reads a person, for a mail to them. It is not tenant-scoped: a person is no
-- tenant's.
select * from users where id = @id;

-- name: CreateMembership :one
-- CreateMembership lets a person into a tenant. It writes a tenant-scoped table
-- because a tenant's first member cannot be signed in yet.
-- Errors: memberships_user_id_key.
insert into memberships (tenant_id, id, user_id, role)
values (@tenant_id, @id, @user_id, @role)
returning *;

-- name: ListMembershipsOfUser :many
-- ListMembershipsOfUser reads where a person may go. It reads across tenants
-- because that is the question: sign-in knows the person before the tenant.
select sqlc.embed(m), sqlc.embed(t) from memberships as m
join tenants as t on t.id = m.tenant_id
where m.user_id = @user_id and m.status = 'ACTIVE'
order by t.slug
limit 1000;

-- name: CreateSession :exec
-- CreateSession begins a sign-in. It is confirmed where the password was just given.
insert into sessions (id, user_id, tenant_id, expires_at, ends_at, user_agent, confirmed_at)
values (@id, @user_id, @tenant_id, @expires_at, @ends_at, @user_agent, case when @confirmed::boolean then now() end);

-- name: LockCredentials :one
-- LockCredentials keeps a person's password from changing until this transaction ends. No
-- row: it has become another one than that of this version.
select user_id from user_credentials
where user_id = @user_id and version = @version
for share;

-- name: GetSessionOfToken :one
-- GetSessionOfToken checks an access token's session: live, of this person, in
-- this tenant, and the person still a member. It reads memberships because the
-- role is what lets the caller into the tenant, and the tenant's status because a
-- server may remember another.
select u.id as user_id, u.email, u.display_name, u.created_at, m.id as membership_id, m.role, m.epoch, t.status as tenant_status,
       s.expires_at, s.confirmed_at, (s.last_used_at < now() - interval '1 minute')::boolean as unnoted
from sessions as s
join users as u on u.id = s.user_id
join tenants as t on t.id = s.tenant_id
join memberships as m on m.tenant_id = s.tenant_id and m.user_id = s.user_id
where s.id = @id and s.user_id = @user_id and s.tenant_id = @tenant_id
  and s.revoked_at is null and s.expires_at > now() and m.status = 'ACTIVE';

-- name: LockRefreshToken :one
-- LockRefreshToken reads a refresh token with its session, and keeps both from
-- changing until this transaction ends.
select sqlc.embed(r), sqlc.embed(s), now()::timestamptz as read_at from refresh_tokens as r
join sessions as s on s.id = r.session_id
where r.token_hash = @token_hash
for update;

-- name: CreateRefreshToken :exec
-- CreateRefreshToken stores the hash of a token that was handed out.
insert into refresh_tokens (token_hash, session_id) values (@token_hash, @session_id);

-- name: UseRefreshToken :exec
-- UseRefreshToken marks a token as used, with the salt that its successor was made from.
update refresh_tokens set used_at = now(), successor_salt = @successor_salt
where token_hash = @token_hash and used_at is null;

-- name: TouchSession :exec
-- TouchSession notes that a session was used. It waits for nobody: who holds the row
-- ends the session or notes its use.
update sessions set last_used_at = now()
where id in (select s.id from sessions as s where s.id = @id for update skip locked);

-- name: RevokeSession :one
-- RevokeSession ends a sign-in, at once for every server. No row: it had ended.
update sessions set revoked_at = now(), revoked_why = @revoked_why
where id = @id and revoked_at is null
returning *;

-- name: GetActiveMembership :one
-- GetActiveMembership reads what a person may do in a tenant while a session of it
-- is refreshed, when no tenant is entered yet.
select * from memberships
where tenant_id = @tenant_id and user_id = @user_id and status = 'ACTIVE';

-- name: LockMembers :many
-- LockMembers reads one member, whom it concerns, and those on whom it depends whether
-- that member may be changed: who asks, and the owners. All of them stay as they are
-- until this transaction ends.
select * from memberships
where tenant_id = @tenant_id
  and (id = @id or user_id = @asking or role = 'OWNER' and status = 'ACTIVE')
order by id
for update;

-- name: EndSessionsOfMember :exec
-- EndSessionsOfMember ends every sign-in of a person in one tenant.
update sessions set revoked_at = now(), revoked_why = @revoked_why
where tenant_id = @tenant_id and user_id = @user_id and revoked_at is null;

-- name: SetMembership :one
-- SetMembership gives a member another role or status, which every token issued before
-- is known by. It is the one way to do so, whoever is signed in. No row: no such member.
update memberships set role = @role, status = @status, epoch = epoch + 1, updated_at = now()
where tenant_id = @tenant_id and user_id = @user_id
returning *;

-- name: ListDemoAccounts :many
-- ListDemoAccounts finds the accounts of some addresses with their password hashes,
-- to tell whether a password that everybody knows opens one.
select u.email, c.password_hash from users as u
join user_credentials as c on c.user_id = u.id
where u.email = any(@emails::text[])
order by u.email;
