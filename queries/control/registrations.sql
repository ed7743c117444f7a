-- Who registers is nobody's member yet, so half-registrations are no tenant's rows.

-- name: CreateRegistration :one
-- CreateRegistration keeps for a day what a tenant is to be made of, and tells whether the
-- address has an account, which is for the mail to it alone to say.
insert into registrations (id, email, display_name, password_hash, tenant_name, slug, currency_code, expires_at)
values (@id, @email, @display_name, @password_hash, @tenant_name, @slug, @currency_code, now() + interval '24 hours')
returning expires_at, exists (select from users as u where u.email = registrations.email)::boolean as has_account;

-- name: GetRegistration :one
-- GetRegistration reads what the password of a registration is, and whether its address
-- has an account by now. No row: as LockRegistration.
select r.email, r.password_hash, exists (select from users as u where u.email = r.email)::boolean as has_account
from registrations as r
where r.id = @id and r.expires_at > now();

-- name: LockRegistration :one
-- LockRegistration reads a registration, used or not, and keeps it as it is until this
-- transaction ends: of several who confirm it at once, the others wait here. No row: its
-- time is over, or it never was.
select * from registrations
where id = @id and expires_at > now()
for update;

-- name: UseRegistration :exec
-- UseRegistration notes what a registration became, and forgets the password.
update registrations set became_id = @became_id, password_hash = null where id = @id;

-- name: DeleteOldRegistrations :exec
-- DeleteOldRegistrations forgets a few whose time is over, more than one request adds.
delete from registrations
where id in (select r.id from registrations as r where r.expires_at <= now() order by r.expires_at limit 20 for update skip locked);

-- name: LockUserOfEmail :one
-- LockUserOfEmail is LockUser for whoever has an address. It is not tenant-scoped: a
-- person is no tenant's.
select * from users where email = @email for update;

-- name: CreateUserOfEmail :one
-- CreateUserOfEmail is CreateUser where nobody has the address. No row: somebody has, who
-- may have come at this very moment and is waited for.
insert into users (id, email, display_name)
values (@id, @email, @display_name)
on conflict (email) do nothing
returning *;
