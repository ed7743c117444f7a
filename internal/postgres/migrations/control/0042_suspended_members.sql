-- +goose Up

-- A suspended member may not come in, and keeps the place: its role, and its seat among
-- the members.
alter table memberships
    drop constraint memberships_status_check,
    add constraint memberships_status_check check (status in ('ACTIVE', 'SUSPENDED', 'REMOVED'));

-- +goose Down
alter table memberships
    drop constraint memberships_status_check,
    add constraint memberships_status_check check (status in ('ACTIVE', 'REMOVED'));
