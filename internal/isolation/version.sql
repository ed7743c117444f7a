-- Minor versions that mend leaks of row-level security: before them a role could
-- take itself out of policies by DROP OWNED BY (CVE-2026-116311), and ON CONFLICT
-- showed rows to a condition before the policy hid them (CVE-2026-120154). Source:
-- the release notes of 15.20, whose siblings of the same day are the others.
select 'server.version' as "check", 'warning' as severity, 'server' as object,
       format('PostgreSQL %s.%s leaks past row-level security in known ways (CVE-2026-116311, CVE-2026-120154), mended in %s.%s.', major, minor, major, mended) as message,
       format('Upgrade the server to PostgreSQL %s.%s or newer: a minor upgrade, which needs a restart and nothing else.', major, mended) as advice
from (select current_setting('server_version_num')::int / 10000 as major,
             current_setting('server_version_num')::int % 10000 as minor) as running
join (values (15, 20), (16, 16), (17, 12), (18, 7)) as release (major, mended) using (major)
where minor < mended
