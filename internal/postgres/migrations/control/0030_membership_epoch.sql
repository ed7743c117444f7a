-- +goose Up

-- Grows with each change of role or status. A token says for which epoch it was
-- issued, so that a member who was demoted or removed is known by an old one.
alter table memberships
    add column epoch bigint not null default 1,
    add constraint memberships_epoch_check check (epoch > 0);

-- +goose Down
alter table memberships drop column epoch;
