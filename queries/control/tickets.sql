-- A person chooses a tenant before any is entered, so tickets are nobody's rows but
-- theirs.

-- name: CreateSignInTicket :exec
-- CreateSignInTicket keeps for two minutes that a person gave their password, and
-- forgets which of their tickets are of no use any more.
with gone as (
    delete from sign_in_tickets as old
    where old.user_id = @user_id and (old.used_at is not null or old.expires_at <= now())
)
insert into sign_in_tickets (id, user_id, expires_at)
values (@id, @user_id, now() + interval '2 minutes');

-- name: UseSignInTicket :one
-- UseSignInTicket uses a ticket up and tells whose it is. No row: it was used, has
-- expired, never was, or is older than the person's password.
update sign_in_tickets as t set used_at = now()
from user_credentials as c
where t.id = @id and t.used_at is null and t.expires_at > now()
  and c.user_id = t.user_id and c.updated_at <= t.created_at
returning t.user_id;

-- name: LockSession :one
-- LockSession reads a session that has not ended, and keeps it from ending until this
-- transaction does. It reads by the id alone because that is what a person shows.
select * from sessions
where id = @id and user_id = @user_id and revoked_at is null and expires_at > now()
for share;

-- name: DeleteSignInTicketsOfUser :exec
-- DeleteSignInTicketsOfUser takes back what a person was given to choose a tenant with,
-- when all that lets them in is ended. It is not tenant-scoped: no tenant is chosen yet.
delete from sign_in_tickets where user_id = @user_id;
