-- name: CreateMailLink :exec
-- CreateMailLink notes a link that a mail to that address will hold, for the person who
-- has it: none where nobody has. It is not tenant-scoped: a person is no tenant's.
insert into mail_links (id, purpose, user_id, email, expires_at)
select @id, @purpose, u.id, u.email, @expires_at from users as u where u.email = @email;

-- name: CreateMailLinkOfUser :exec
-- CreateMailLinkOfUser notes a link that a mail to an address of that person's choice will
-- hold. It is not tenant-scoped: a person is no tenant's.
insert into mail_links (id, purpose, user_id, email, expires_at)
values (@id, @purpose, @user_id, @email, @expires_at);

-- name: GetMailLink :one
-- GetMailLink reads whose a link is that may still be used. Who is about to use it locks
-- the person first.
select * from mail_links
where id = @id and purpose = @purpose and used_at is null and expires_at > now();

-- name: UseMailLink :one
-- UseMailLink uses a link up. No row: it was used, or its time is over.
update mail_links set used_at = now()
where id = @id and purpose = @purpose and used_at is null and expires_at > now()
returning *;

-- name: UseMailLinksOfUser :exec
-- UseMailLinksOfUser makes every link that was sent for a person useless.
update mail_links set used_at = now() where user_id = @user_id and used_at is null;

-- name: DeleteOldMailLinks :exec
-- DeleteOldMailLinks forgets the links of whoever has that address whose time is over.
delete from mail_links
where user_id in (select u.id from users as u where u.email = @email) and expires_at < now();

-- name: LockUser :one
-- LockUser reads a person, and until this transaction ends nobody else changes their password
-- or address, and no session of theirs begins: its row refers to this one. It is not
-- tenant-scoped: a person is no tenant's.
select * from users where id = @id for update;

-- name: SetPassword :exec
-- SetPassword makes another password a person's: sessions that are being begun with the
-- one of before do not begin.
insert into user_credentials (user_id, password_hash) values (@user_id, @password_hash)
on conflict (user_id) do update
set password_hash = excluded.password_hash, version = user_credentials.version + 1, updated_at = now();

-- name: SetUserEmail :exec
-- SetUserEmail gives a person another address. It is not tenant-scoped: a person is no
-- tenant's. Errors: users_email_key.
update users set email = @email where id = @id;
