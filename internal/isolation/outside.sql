-- Ways around the tables: extensions that reach out or run text, user mappings,
-- untrusted languages, replication.
select 'extension' as "check", v.severity, 'extension ' || e.extname as object, v.why as message,
       format('drop extension %I', e.extname) as advice
from pg_extension as e
join (values
    ('dblink', 'error', 'Its functions connect to databases, this one too, as somebody else.'),
    ('tablefunc', 'warning', 'Its functions run a query given as text, from within an expression.'),
    ('xml2', 'warning', 'Its functions run a query given as text, from within an expression.'),
    ('postgres_fdw', 'warning', 'It reaches other databases, past these walls.'),
    ('file_fdw', 'warning', 'It reads the files of the server.'),
    ('adminpack', 'warning', 'It writes the files of the server.'),
    ('pageinspect', 'warning', 'It reads the pages of tables, past row-level security.'),
    ('pg_walinspect', 'warning', 'It reads what all tenants write, past row-level security.'),
    ('pg_surgery', 'warning', 'It changes rows in their pages, past every rule.'),
    ('http', 'warning', 'It sends what a statement reads to other hosts.'),
    ('pg_net', 'warning', 'It sends what a statement reads to other hosts.'),
    ('pg_cron', 'warning', 'It runs statements later, outside of the door.')) as v (name, severity, why) on v.name = e.extname
union all
select 'language.untrusted', 'warning', 'language ' || l.lanname,
       'A function in an untrusted language can do what the server''s account can.',
       coalesce((select format('drop extension %I', e.extname) from pg_depend as d join pg_extension as e on e.oid = d.refobjid
                 where d.classid = 'pg_language'::regclass and d.objid = l.oid and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'),
                format('drop language %I', l.lanname))
from pg_language as l
where l.lanispl and not l.lanpltrusted
union all
select 'foreign.mapping', 'error', 'server ' || m.srvname,
       format('There is a user mapping for %s: foreign tables of that server open without a password.', case m.umuser when 0 then 'everybody' else m.usename::text end),
       format('drop user mapping for %s server %I', case m.umuser when 0 then 'public' else quote_ident(m.usename) end, m.srvname)
from pg_user_mappings as m, parties as p
where m.umuser in (0, p.app)
union all
select 'publication', 'warning', 'publication ' || b.pubname,
       'Every change of ' || case when b.puballtables then 'every table' else string_agg(distinct t.object, ', ') end || ' leaves through it, whoever''s it is.',
       format('drop publication %I', b.pubname)
from pg_publication as b
left join pg_publication_rel as r on r.prpubid = b.oid
left join pg_publication_namespace as n on n.pnpubid = b.oid
left join (select oid, object, nspname from tenant_tables union select oid, object, nspname from users) as t
    on t.oid = r.prrelid or t.nspname::regnamespace = n.pnnspid
where b.puballtables or t.oid is not null
group by b.pubname, b.puballtables
