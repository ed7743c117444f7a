-- The two doors are the only functions that a request may call, and the only ones
-- that run with the rights of another. $1 and $2 are what their bodies hash to in
-- the migrations: of gate.enter_tenant and of control.enter_tenant.
with
doors (signature, hash, source) as (
    values ('gate.enter_tenant(uuid, bigint, boolean)', $1::text, 'migrations/gate'),
           ('control.enter_tenant(uuid, boolean)', $2::text, 'migrations/control')
),
found as (
    select d.*, f.oid, f.proowner, f.prosecdef, f.proconfig, l.lanname, encode(sha256(convert_to(f.prosrc, 'UTF8')), 'hex') as actual
    from doors as d
    left join pg_proc as f on f.oid = to_regprocedure(d.signature)
    left join pg_language as l on l.oid = f.prolang
),
functions as (
    select f.oid, f.proowner, f.prosecdef, s.ours,
           case f.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end as kind,
           format('%I.%I(%s)', s.nspname, f.proname, pg_get_function_identity_arguments(f.oid)) as object,
           coalesce(f.proacl, acldefault('f', f.proowner)) as acl,
           exists (select from found as d where d.oid = f.oid) as door
    from pg_proc as f
    join schemas as s on s.oid = f.pronamespace
    where not exists (select from brought as b where b.classid = 'pg_proc'::regclass and b.objid = f.oid)
)
select 'door.missing' as "check", 'error' as severity, d.signature as object, 'The door does not exist.' as message,
       format('Create it again as the newest file of %s says.', d.source) as advice
from found as d where d.oid is null
union all
select 'door.owner', 'error', d.signature, format('The door belongs to %s, and runs with its rights.', pg_get_userbyid(d.proowner)),
       format('alter function %s owner to commonhold_owner', d.signature)
from found as d, parties as p where d.proowner not in (p.owner, p.app, p.control) -- the last two: role.owns
union all
select 'door.setting', 'error', d.signature,
       format('The door has a SET clause (%s), which undoes what it sets when it returns.', array_to_string(d.proconfig, ', ')),
       format('alter function %s reset all', d.signature)
from found as d where d.proconfig is not null
union all
select 'door.invoker', 'error', d.signature, 'The door runs with the rights of its caller, who cannot open it.',
       format('alter function %s security definer', d.signature)
from found as d where not d.prosecdef
union all
select 'door.source', 'error', d.signature, 'The body of the door is not the one that the migrations made.',
       format('Create it again as the newest file of %s says, with create or replace.', d.source)
from found as d where d.oid is not null and (d.actual is distinct from d.hash or d.lanname <> 'plpgsql')
union all
select 'function.definer', 'error', f.object, format('The function runs with the rights of %s.', pg_get_userbyid(f.proowner)),
       format('alter %s %s security invoker', f.kind, f.object)
from functions as f where f.prosecdef and not f.door
union all
select 'function.executable', 'error', f.object,
       case when f.door then 'Everybody may open the door, not the request role alone.'
            else 'The request role may call it: no statement of a request needs a function.' end,
       format('revoke execute on %s %s from %s', case f.kind when 'procedure' then 'procedure' else 'function' end, f.object,
              case when f.door then 'public' else 'public, commonhold_app' end)
from functions as f, parties as p
where (f.ours or f.prosecdef)
  and exists (select from aclexplode(f.acl) as x where x.grantee = 0 or (x.grantee = p.app and not f.door))
