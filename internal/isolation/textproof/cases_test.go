package textproof

import (
	"strings"
	"testing"
)

// trial is a statement that could be written one day; $1 is the tenant. says is part
// of why it is refused; empty if it is proven.
type trial struct {
	name string
	sql  string
	says string
}

// Statements that stay within the tenant.
var tied = []trial{
	{name: "param on the left", sql: `select id from products where $1 = tenant_id`},
	{name: "cast of the parameter", sql: `select id from products where tenant_id = $1::uuid`},
	{name: "nested ands", sql: `select id from products where (stock > 0 and (tenant_id = $1 and price_minor < $2))`},
	{name: "alias", sql: `select p.id from products p where p.tenant_id = $1`},
	{name: "rows compared", sql: `select name from products where (tenant_id, id) = ($1, $2)`},
	{name: "rows compared the other way", sql: `select name from products where row($2::uuid, $1) = row(id, tenant_id)`},
	{name: "join by key", sql: `select p.id, c.name from products p join categories c on c.tenant_id = p.tenant_id and c.id = p.category_id where p.tenant_id = $1`},
	{name: "join, both to the parameter", sql: `select p.id, c.name from products p join categories c on c.id = p.category_id where p.tenant_id = $1 and c.tenant_id = $1`},
	{name: "comma join", sql: `select p.id, c.name from products p, categories c where c.id = p.category_id and c.tenant_id = p.tenant_id and p.tenant_id = $1`},
	{name: "chain of three", sql: `select c.id from categories a join categories b on b.tenant_id = a.tenant_id join categories c on c.tenant_id = b.tenant_id where c.tenant_id = $1`},
	{name: "left join, tie in its on", sql: `select p.id, c.name from products p left join categories c on c.tenant_id = p.tenant_id and c.id = p.category_id where p.tenant_id = $1`},
	{name: "left join, tie in the where", sql: `select p.id, c.name from products p left join categories c on c.id = p.category_id where p.tenant_id = $1 and c.tenant_id = $1`},
	{name: "left join to a left join", sql: `select p.id, g.name from products p left join categories c on c.tenant_id = p.tenant_id and c.id = p.category_id left join categories g on g.tenant_id = c.tenant_id and g.id = c.parent_id where p.tenant_id = $1`},
	{name: "right join", sql: `select p.id, c.name from categories c right join products p on c.tenant_id = p.tenant_id and c.id = p.category_id where p.tenant_id = $1`},
	{name: "full join of subqueries", sql: `select a.id, b.id from (select id from products where tenant_id = $1) a full join (select id from categories where tenant_id = $1) b on a.id = b.id`},
	{name: "full join, both in the where", sql: `select a.id from products a full join categories b on a.category_id = b.id where a.tenant_id = $1 and b.tenant_id = $1`},
	{name: "using", sql: `select p.id, c.name from products p join categories c using (tenant_id) where tenant_id = $1`},
	{name: "using of a left join", sql: `select p.id, c.name from products p left join categories c using (tenant_id) where tenant_id = $1`},
	{name: "using twice", sql: `select p.id from products p join categories c using (tenant_id) join events e using (tenant_id) where e.tenant_id = $1`},
	{name: "full using, each side tied before", sql: `select a.id from (select tenant_id, id from products where tenant_id = $1) a full join (select tenant_id, name from categories where tenant_id = $1) b using (tenant_id)`},
	{name: "inner join under a left join", sql: `select p.id from products p left join (categories c join events e on e.tenant_id = c.tenant_id and e.entity_id = c.id) on c.tenant_id = p.tenant_id where p.tenant_id = $1`},
	{name: "subquery that gives the tenant", sql: `select c.name from (select tenant_id, category_id from products where tenant_id = $1) as p join categories c on c.tenant_id = p.tenant_id and c.id = p.category_id`},
	{name: "subquery that gives the parameter", sql: `select c.name from (select $1::uuid as tenant) as t join categories c on c.tenant_id = t.tenant`},
	{name: "subquery with a star", sql: `select c.name from (select * from products where tenant_id = $1) as p join categories c on c.tenant_id = p.tenant_id`},
	{name: "subquery with other names", sql: `select c.name from (select tenant_id, id from products where tenant_id = $1) as p (t, i) join categories c on c.tenant_id = p.t`},
	{name: "values that give the parameter", sql: `select c.name from (values ($1::uuid, 1), ($1, 2)) as v (t, n) join categories c on c.tenant_id = v.t`},
	{name: "correlated exists", sql: `select p.id from products p where p.tenant_id = $1 and exists (select from categories c where c.tenant_id = p.tenant_id and c.id = p.category_id)`},
	{name: "not exists", sql: `select p.id from products p where p.tenant_id = $1 and not exists (select from categories c where c.tenant_id = $1 and c.id = p.category_id)`},
	{name: "exists under or", sql: `select p.id from products p where p.tenant_id = $1 and (p.stock > 0 or exists (select from categories c where c.tenant_id = p.tenant_id and c.id = p.category_id))`},
	{name: "in a subquery", sql: `select p.id from products p where p.tenant_id = $1 and p.category_id in (select c.id from categories c where c.tenant_id = $1)`},
	{name: "subquery in the select list", sql: `select c.id, (select count(*) from products p where p.tenant_id = c.tenant_id and p.category_id = c.id) as products from categories c where c.tenant_id = $1`},
	{name: "array of a subquery", sql: `select array(select id from products where tenant_id = $1 order by id)`},
	{name: "lateral top per key", sql: `select w.id, p.name from unnest($2::uuid[]) with ordinality as w (id, n) cross join lateral (select * from products c where c.tenant_id = $1 and c.category_id = w.id order by c.created_at limit 3) as p order by w.n, p.created_at`},
	{name: "lateral through the outer row", sql: `select c.id, p.name from categories c left join lateral (select i.name from products i where i.tenant_id = c.tenant_id and i.category_id = c.id limit 1) as p on true where c.tenant_id = $1`},
	{name: "function in from", sql: `select p.id, g from products p, generate_series(1, p.stock) as g where p.tenant_id = $1`},
	{name: "arrays side by side", sql: `select p.id, w.n from unnest($2::uuid[], $3::integer[]) as w (id, n) join products p on p.id = w.id and p.tenant_id = $1`},
	{name: "window", sql: `select id, row_number() over (partition by category_id order by created_at) as n, lag(id) over w from products where tenant_id = $1 window w as (order by id)`},
	{name: "aggregate with filter", sql: `select category_id, count(*) filter (where stock > 0) as n, sum(price_minor) as total from products where tenant_id = $1 group by category_id having count(*) > 1 order by n desc, category_id`},
	{name: "grouping sets", sql: `select category_id, name_key, count(*) from products where tenant_id = $1 group by grouping sets ((category_id), rollup (name_key))`},
	{name: "distinct on", sql: `select distinct on (category_id) category_id, id from products where tenant_id = $1 order by category_id, price_minor`},
	{name: "union", sql: `select id, name from products where tenant_id = $1 union all select id, name from categories where tenant_id = $1 order by name limit 5`},
	{name: "except and intersect", sql: `select id from products where tenant_id = $1 except (select entity_id from events where tenant_id = $1 intersect select id from categories where tenant_id = $1)`},
	{name: "cte", sql: `with c as (select id, tenant_id from categories where tenant_id = $1) select p.id from products p join c on c.tenant_id = p.tenant_id and c.id = p.category_id`},
	{name: "cte of a cte", sql: `with a as (select tenant_id as t from categories where tenant_id = $1), b (u) as materialized (select t from a) select p.id from products p join b on b.u = p.tenant_id`},
	{name: "recursive cte", sql: `with recursive up as (select id, parent_id, 1 as depth from categories where tenant_id = $1 and id = $2 union all select c.id, c.parent_id, up.depth + 1 from categories c join up on c.id = up.parent_id where c.tenant_id = $1) select id, depth from up`},
	{name: "cte that changes", sql: `with gone as (delete from products where tenant_id = $1 and id = $2 returning tenant_id, id) insert into events (tenant_id, id, action, entity_id, request_id, data) select $1, $3::uuid, 'product.deleted', gone.id, '', '{}' from gone`},
	{name: "case, coalesce, like", sql: `select coalesce(description, name), case when stock > 0 then 'yes' else 'no' end, nullif(name, ''), greatest(stock, 1) from products where tenant_id = $1 and name like $2 and stock between 1 and 5 and description is distinct from name and created_at < current_timestamp and category_id is not null and (stock = 1) is not true`},
	{name: "lock", sql: `select p.id from products p join categories c on c.tenant_id = p.tenant_id where p.tenant_id = $1 for update of p skip locked`},
	{name: "no table", sql: `select now(), $1::uuid, gen_random_uuid()`},
	{name: "insert rows", sql: `insert into products (id, tenant_id, sku, name, price_minor, stock, created_by) values ($2, $1, 'a', 'a', 1, 2, $3), ($4, $1::uuid, 'b', 'b', 1, default, $3) returning *`},
	{name: "insert from a select", sql: `insert into categories as c (tenant_id, id, name, created_by) select $1, gen_random_uuid(), 'like ' || p.name, p.created_by from products p where p.tenant_id = $1 returning c.id`},
	{name: "upsert", sql: `insert into products as p (tenant_id, id, sku, name, price_minor, created_by) values ($1, $2, $3, $4, $5, $6) on conflict (tenant_id, sku) do update set name = excluded.name, stock = p.stock + 1, (description, price_minor) = (select c.name, 1::bigint from categories c where c.tenant_id = excluded.tenant_id limit 1) where p.version = $7 returning p.id`},
	{name: "update from", sql: `update products as p set category_id = c.id from categories c where c.tenant_id = p.tenant_id and c.name = $2 and p.tenant_id = $1 returning p.*, c.name`},
	{name: "update by a subquery", sql: `update products set stock = (select count(*)::integer from events e where e.tenant_id = products.tenant_id and e.entity_id = products.id) where tenant_id = $1`},
	{name: "delete using", sql: `delete from products as p using categories c where c.id = p.category_id and p.tenant_id = c.tenant_id and c.tenant_id = $1`},
	{name: "returning with a subquery", sql: `delete from products p where p.tenant_id = $1 returning p.id, (select c.name from categories c where c.tenant_id = p.tenant_id and c.id = p.category_id)`},
	{name: "name of the inner level first", sql: `select c.id from categories c where c.tenant_id = $1 and exists (select from products where tenant_id = c.tenant_id and category_id = c.id)`},
}

// Statements that do not, or that nobody can tell.
var untiedTrials = []trial{
	// Nothing, or nothing that must hold.
	{"no where", `select id, tenant_id from products`, `table products is not tied to the tenant: add "products.tenant_id = @tenant_id" to its WHERE`},
	{"alias without a where", `select p.id from products p`, `table products (alias p) is not tied to the tenant: add "p.tenant_id = @tenant_id" to its WHERE`},
	{"another parameter", `select id from products where tenant_id = $2`, "a tie is a plain = with @tenant_id"},
	{"or", `select id from products where tenant_id = $1 or stock > 0`, "table products is not tied"},
	{"or true", `select id from products where (tenant_id = $1 or true) and stock > 0`, "table products is not tied"},
	{"not", `select id from products where not (tenant_id = $1)`, "table products is not tied"},
	{"not not", `select id from products where not (not (tenant_id = $1))`, "table products is not tied"},
	{"is true", `select id from products where (tenant_id = $1) is not false`, "table products is not tied"},
	{"case", `select id from products where case when true then tenant_id = $1 end`, "table products is not tied"},
	{"coalesce around it", `select id from products where coalesce(tenant_id = $1, true)`, "table products is not tied"},
	{"coalesce of the parameter", `select id from products where tenant_id = coalesce($1, tenant_id)`, "table products is not tied"},
	{"unequal", `select id from products where tenant_id <> $1`, "table products is not tied"},
	{"at least", `select id from products where tenant_id >= $1`, "table products is not tied"},
	{"itself", `select id from products where tenant_id = tenant_id`, "table products is not tied"},
	{"a literal", `select id from products where tenant_id = '00000000-0000-0000-0000-000000000001'`, "table products is not tied"},
	{"not distinct", `select id from products where tenant_id is not distinct from $1`, "table products is not tied"},
	{"in", `select id from products where tenant_id in ($1)`, "a tie is a plain = with @tenant_id"},
	{"in more", `select id from products where tenant_id in ($1, $2)`, "a tie is a plain = with @tenant_id"},
	{"any", `select id from products where tenant_id = any(array[$1]::uuid[])`, "a tie is a plain = with @tenant_id"},
	{"between", `select id from products where tenant_id between $1 and $1`, "table products is not tied"},
	{"as text", `select id from products where tenant_id::text = $1::text`, "table products is not tied"},
	{"parameter as text", `select id from products where tenant_id = $1::text::uuid`, "table products is not tied"},
	{"rows unequal", `select id from products where (tenant_id, id) <> ($1, $2)`, "table products is not tied"},
	{"rows less", `select id from products where (tenant_id, id) <= ($1, $2)`, "table products is not tied"},
	{"rows crossed", `select id from products where (id, tenant_id) = ($1, $2)`, "table products is not tied"},
	{"qualified operator", `select id from products where tenant_id operator(public.=) $1`, "operator public.= is not on the list"},
	{"having", `select tenant_id, count(*) from products group by tenant_id having tenant_id = $1`, "table products is not tied"},
	{"filter", `select count(*) filter (where tenant_id = $1) from products`, "table products is not tied"},
	{"only the id", `select name from products where id = $2`, "table products is not tied"},

	// Joins.
	{"join by id alone", `select c.name from products p join categories c on c.id = p.category_id where p.tenant_id = $1`, `table categories (alias c) is not tied to the tenant: add "c.tenant_id = @tenant_id" to its WHERE`},
	{"cross join", `select c.name from products p cross join categories c where p.tenant_id = $1`, "table categories (alias c) is not tied"},
	{"left join ties only its right", `select p.id from products p left join categories c on p.tenant_id = $1 and c.tenant_id = $1`, "table products (alias p) is not tied"},
	{"left join without it", `select p.id from products p left join categories c on c.id = p.category_id where p.tenant_id = $1`, `add "c.tenant_id = @tenant_id" to the ON of its outer join`},
	{"right join ties only its left", `select p.id from categories c right join products p on c.tenant_id = $1 and p.tenant_id = $1`, "table products (alias p) is not tied"},
	{"full join ties neither", `select p.id from categories c full join products p on c.tenant_id = $1 and p.tenant_id = $1`, "table categories (alias c) is not tied"},
	{"full using ties neither", `select p.id from categories c full join products p using (tenant_id) where tenant_id = $1`, "table categories (alias c) is not tied"},
	{"left join over a tied right", `select p.id from products p left join categories c on c.tenant_id = p.tenant_id and c.tenant_id = $1`, "table products (alias p) is not tied"},
	{"on of the wrong join", `select p.id from products p left join (categories c cross join events e) on c.tenant_id = $1 where p.tenant_id = $1`, "table events (alias e) is not tied"},
	{"each tied to the other", `select p.id from products p join categories c on c.tenant_id = p.tenant_id`, "table products (alias p) is not tied"},
	{"the other's alias", `select p.id from products p, categories c where p.tenant_id = $1 and p.tenant_id = $1 and c.id = p.category_id`, "table categories (alias c) is not tied"},
	{"natural", `select p.id from products p natural join categories c where p.tenant_id = $1`, "NATURAL JOIN"},
	{"alias of a join", `select j.id from (products p join categories c using (tenant_id)) as j where j.tenant_id = $1`, "a join has an alias"},
	{"star over using", `select * from products p join categories c using (tenant_id) where tenant_id = $1`, "select * over a USING"},
	{"ambiguous", `select p.id from products p, categories c where tenant_id = $1`, "column tenant_id is ambiguous"},
	{"same alias twice", `select p.id from products p, categories p where p.tenant_id = $1`, "two of one FROM are called p"},
	{"columns renamed", `select p.id from products as p (id, tenant_id) where p.tenant_id = $1`, "given other names for its columns"},

	// Levels.
	{"exists without it", `select id from products p where p.tenant_id = $1 and exists (select from categories c where c.id = p.category_id)`, "table categories (alias c) is not tied"},
	{"the inner where ties the outer", `select p.id from products p where exists (select from categories c where c.tenant_id = $1 and p.tenant_id = $1)`, "table products (alias p) is not tied"},
	{"the inner where ties the outer, by a chain", `select p.id from products p where exists (select from categories c where c.tenant_id = $1 and p.tenant_id = c.tenant_id)`, "table products (alias p) is not tied"},
	{"shadowed alias", `select p.id from products p where p.tenant_id = $1 and exists (select from categories p where p.id = $2)`, "table categories (alias p) is not tied"},
	{"bare name is the inner one", `select p.id from products p where exists (select from categories where tenant_id = $1)`, "table products (alias p) is not tied"},
	{"subquery in the select list", `select (select count(*) from products)`, "table products is not tied"},
	{"subquery in order by", `select id from products where tenant_id = $1 order by (select max(price_minor) from products)`, `table products is not tied`},
	{"subquery in limit", `select id from products where tenant_id = $1 limit (select count(*) from categories)`, "table categories is not tied"},
	{"subquery in having", `select count(*) from products where tenant_id = $1 having count(*) > (select count(*) from categories)`, "table categories is not tied"},
	{"subquery in a window", `select count(*) over (partition by (select count(*) from categories)) from products where tenant_id = $1`, "table categories is not tied"},
	{"subquery in a filter", `select count(*) filter (where exists (select from categories)) from products where tenant_id = $1`, "table categories is not tied"},
	{"subquery in an on", `select p.id from products p join unnest($2::uuid[]) as w (id) on p.id = w.id and exists (select from categories) where p.tenant_id = $1`, "table categories is not tied"},
	{"subquery in a function of from", `select g from generate_series(1, (select count(*) from categories)) as g where $1::uuid is not null`, "table categories is not tied"},
	{"subquery in from, not lateral", `select p.id from products p, (select c.id from categories c where c.tenant_id = p.tenant_id) as s where p.tenant_id = $1`, "p.tenant_id names no table or alias that is visible there"},
	{"lateral without it", `select p.id from unnest($2::uuid[]) as w (id), lateral (select * from products c where c.category_id = w.id) as p where p.tenant_id = $1`, "table products (alias c) is not tied"},
	{"filtered outside of a limit", `select s.id from (select * from products order by id limit 10) as s where s.tenant_id = $1`, "table products is not tied"},
	{"values that give something else", `select c.name from (values ($1::uuid), ($2)) as v (t) join categories c on c.tenant_id = v.t`, "table categories (alias c) is not tied"},
	{"function that gives it", `select c.name from unnest(array[$1]::uuid[]) as v (t) join categories c on c.tenant_id = v.t`, "table categories (alias c) is not tied"},
	{"min gives it", `select c.name from (select min(tenant_id::text)::uuid as t from products where tenant_id = $1) as p join categories c on c.tenant_id = p.t`, "table categories (alias c) is not tied"},
	{"subquery with renamed columns", `select c.name from (select id, tenant_id from products where tenant_id = $1) as p (tenant_id, id) join categories c on c.tenant_id = p.tenant_id`, "table categories (alias c) is not tied"},
	{"made-up name", `select p.id from products p where p.tenant_id = $1 and exists (select from (select e.id::text from events e where e.tenant_id = $1) as s)`, "column 1 of a subquery s has no name"},

	// Set operations and CTEs.
	{"second arm", `select id from products where tenant_id = $1 union select id from categories`, "table categories is not tied"},
	{"except", `select id from products where tenant_id = $1 except select id from categories`, "table categories is not tied"},
	{"an arm gives something else", `select c.name from (select tenant_id from products where tenant_id = $1 union all select id from products where tenant_id = $1) as p join categories c on c.tenant_id = p.tenant_id`, "table categories (alias c) is not tied"},
	{"cte", `with c as (select id from categories) select p.id from products p join c on c.id = p.category_id where p.tenant_id = $1`, "table categories is not tied"},
	{"cte that nobody reads", `with c as (select id from categories) select p.id from products p where p.tenant_id = $1`, "table categories is not tied"},
	{"cte tied by its reader", `with c as (select id, tenant_id from categories) select c.id from c where c.tenant_id = $1`, "table categories is not tied"},
	{"cte named like a table", `with products as (select id from categories where tenant_id = $1) select id from products`, "the CTE products has the name of a table"},
	{"ctes of one name", `with c as (select 1 as n) select (with c as (select id from categories where tenant_id = $1) select count(*) from c) from c`, "two CTEs are called c"},
	{"recursion, second arm by the first", `with recursive up as (select tenant_id, id, parent_id from categories where tenant_id = $1 union select c.tenant_id, c.id, c.parent_id from categories c join up on c.tenant_id = up.tenant_id and c.id = up.parent_id) select id from up`, "table categories (alias c) is not tied"},
	{"recursion, first arm", `with recursive up as (select id, parent_id from categories union select c.id, c.parent_id from categories c join up on c.id = up.parent_id where c.tenant_id = $1) select id from up`, "table categories is not tied"},
	{"recursion to a later cte", `with recursive a as (select id from b), b as (select id from categories where tenant_id = $1) select id from a`, "table b is in none of the migrations"},
	{"cte that deletes", `with gone as (delete from products where id = $2 returning id) select id from gone where $1::uuid is not null`, "table products is not tied to the tenant: add \"products.tenant_id = @tenant_id\" to the WHERE of the statement"},
	{"select into", `select id into copy from products where tenant_id = $1`, "does not know the intoClause"},
	{"cycle clause", `with recursive up as (select id from categories where tenant_id = $1 union all select id from up) cycle id set looped using path select id from up`, "does not know the cycle_clause"},

	// Changes.
	{"insert of another parameter", `insert into categories (tenant_id, id, name, created_by) values ($2, $1, 'a', $3)`, "INSERT writes something else than the tenant parameter into tenant_id"},
	{"insert, second row", `insert into categories (tenant_id, id, name, created_by) values ($1, $2, 'a', $3), ($4, $2, 'a', $3)`, "in every row and arm"},
	{"insert of a default", `insert into categories (tenant_id, id, name, created_by) values (default, $1, 'a', $3)`, "INSERT writes something else"},
	{"insert of an expression", `insert into categories (tenant_id, id, name, created_by) values (coalesce($1, $2), $2, 'a', $3)`, "INSERT writes something else"},
	{"insert without it", `insert into categories (id, name, created_by) values ($1, 'a', $3)`, "INSERT does not write tenant_id"},
	{"insert without columns", `insert into categories values ($1, $2, null, 'a')`, "INSERT does not write tenant_id: name it among the columns"},
	{"insert of defaults", `insert into categories default values`, "INSERT does not write tenant_id"},
	{"insert from another column", `insert into categories (tenant_id, id, name, created_by) select p.id, $1, p.name, p.created_by from products p where p.tenant_id = $1`, "INSERT writes something else"},
	{"insert, second arm", `insert into categories (tenant_id, id, name, created_by) select $1, $2::uuid, 'a', $3::uuid union all select $4, $2, 'a', $3`, "INSERT writes something else"},
	{"insert from an untied select", `insert into categories (tenant_id, id, name, created_by) select $1, p.id, p.name, p.created_by from products p`, "table products (alias p) is not tied"},
	{"insert, subquery in values", `insert into categories (tenant_id, id, name, created_by) values ($1, $2, (select name from products limit 1), $3)`, "table products is not tied"},
	{"insert of a part", `insert into events (tenant_id, data.a) values ($1, '1')`, "INSERT writes a part of a column"},
	{"function that is no call", `select d from current_date as d where $1::uuid is not null`, "other than unnest and generate_series"},
	{"insert overriding", `insert into categories (tenant_id, id) overriding system value values ($1, $2)`, "OVERRIDING"},
	{"conflict without it", `insert into products (tenant_id, id) values ($1, $2) on conflict (id) do nothing`, "the ON CONFLICT target has no tenant_id"},
	{"conflict without a target", `insert into products (tenant_id, id) values ($1, $2) on conflict do nothing`, "ON CONFLICT has no target"},
	{"conflict of a constraint", `insert into products (tenant_id, id) values ($1, $2) on conflict on constraint products_pkey do nothing`, "ON CONFLICT names the constraint products_pkey"},
	{"conflict of an expression", `insert into products (tenant_id, id) values ($1, $2) on conflict (tenant_id, lower(sku)) do nothing`, "does not know the expr of a IndexElem"},
	{"conflict that moves the row", `insert into products (tenant_id, id) values ($1, $2) on conflict (tenant_id, id) do update set tenant_id = excluded.tenant_id`, "SET changes tenant_id"},
	{"conflict with a subquery", `insert into products (tenant_id, id) values ($1, $2) on conflict (tenant_id, id) do update set name = (select name from categories limit 1)`, "table categories is not tied"},
	{"conflict, subquery in its where", `insert into products (tenant_id, id) values ($1, $2) on conflict (tenant_id, id) do update set stock = 1 where exists (select from categories)`, "table categories is not tied"},
	{"returning with a subquery", `insert into products (tenant_id, id) values ($1, $2) returning (select count(*) from categories)`, "table categories is not tied"},
	{"update without a where", `update products set stock = 0`, `table products is not tied to the tenant: add "products.tenant_id = @tenant_id" to the WHERE of the statement`},
	{"update by id", `update products set stock = 0 where id = $2 returning tenant_id`, "table products is not tied"},
	{"update that moves the row", `update products set tenant_id = $1 where tenant_id = $1`, "SET changes tenant_id, which would move the row to another tenant"},
	{"update that moves the row, by rows", `update products set (stock, tenant_id) = (1, $1) where tenant_id = $1`, "SET changes tenant_id"},
	{"update from untied", `update products p set category_id = c.id from categories c where p.tenant_id = $1`, "table categories (alias c) is not tied"},
	{"update, only from is tied", `update products p set category_id = c.id from categories c where c.tenant_id = $1 and c.id = p.category_id`, "table products (alias p) is not tied"},
	{"update, subquery in set", `update products set name = (select name from categories limit 1) where tenant_id = $1`, "table categories is not tied"},
	{"update, part of a column", `update events set data['a'] = '1' where tenant_id = $1`, "does not know a A_Indices"},
	{"delete without a where", `delete from products`, "table products is not tied"},
	{"delete, only using is tied", `delete from products p using categories c where c.tenant_id = $1 and c.id = p.category_id`, "table products (alias p) is not tied"},
	{"delete at a cursor", `delete from products where current of c`, "WHERE CURRENT OF"},
	{"delete with only", `delete from only products where tenant_id = $1`, "changed with ONLY"},
	{"merge", `merge into products p using categories c on p.tenant_id = $1 and c.tenant_id = $1 when matched then delete`, "MERGE: write insert … on conflict"},

	// Tables.
	{"schema", `select id from shared.products where tenant_id = $1`, "table shared.products is qualified with a schema"},
	{"catalog", `select relname from pg_catalog.pg_class where $1::uuid is not null`, "table pg_catalog.pg_class is qualified"},
	{"catalog, bare", `select relname from pg_class where $1::uuid is not null`, "table pg_class is in none of the migrations"},
	{"information schema", `select table_name from information_schema.tables`, "qualified with a schema"},
	{"unknown table", `select id from invoices where tenant_id = $1`, "table invoices is in none of the migrations of this set"},
	{"the doors", `select epoch from tenant_doors where tenant_id = $1`, "table tenant_doors is in none of the migrations of this set"},
	{"change of an unknown table", `insert into invoices (tenant_id) values ($1)`, "table invoices is in none of the migrations of this set"},
	{"only", `select id from only products where tenant_id = $1`, "read with ONLY"},
	{"sample", `select id from products tablesample bernoulli (10) where tenant_id = $1`, "TABLESAMPLE"},
	{"system column", `select ctid from products where tenant_id = $1`, "column ctid is unknown there"},
	{"whole row", `select p from products p where p.tenant_id = $1`, "no whole rows"},
	{"whole row as text", `select p::text from products p where p.tenant_id = $1`, "no whole rows"},
	{"field of a row", `select (p).name from products p where p.tenant_id = $1`, "a field of a row or a subscript"},
	{"column with its schema", `select shared.products.id from products where tenant_id = $1`, "shared.products.id is not a plain column"},

	// Functions, operators, types.
	{"setting", `select current_setting('app.tenant_id'), $1::uuid`, "function current_setting is not on the list"},
	{"set_config", `select set_config('app.tenant_id', $1, true)`, "function set_config is not on the list"},
	{"query_to_xml", `select query_to_xml('select * from products', true, true, ''), $1::uuid`, "function query_to_xml is not on the list"},
	{"sleep", `select pg_sleep(1) from products where tenant_id = $1`, "function pg_sleep is not on the list"},
	{"qualified function", `select public.lower(name) from products where tenant_id = $1`, "function public.lower is not on the list"},
	{"function of the same name", `select pg_catalog.pg_read_file('a') from products where tenant_id = $1`, "function pg_catalog.pg_read_file is not on the list"},
	{"function in from", `select x.a from dblink('', 'select 1') as x (a) where $1::uuid is not null`, "function dblink is not on the list"},
	{"function that is no source of rows", `select l from lower('A') as l where $1::uuid is not null`, "other than unnest and generate_series"},
	{"columns of a function", `select x.a from json_to_recordset('[]') as x (a int) where $1::uuid is not null`, "does not know the coldeflist"},
	{"rows from", `select x.a from rows from (unnest($2::uuid[]), generate_series(1, 2)) as x (a, b) where $1::uuid is not null`, "is_rowsfrom"},
	{"user", `select id from products where tenant_id = $1 and name = current_user`, "current_user is not on the list"},
	{"schema by function", `select current_schema, $1::uuid`, "current_schema is not on the list"},
	{"operator", `select id from products where tenant_id = $1 and name ~ $2`, "operator ~ is not on the list of operators"},
	{"operator any", `select id from products where tenant_id = $1 and name ~ any($2::text[])`, "operator ~ is not on the list of operators"},
	{"operator of a subquery", `select id from products where tenant_id = $1 and name ~ any(select name from categories where tenant_id = $1)`, "operator ~ is not on the list of operators"},
	{"similar", `select id from products where tenant_id = $1 and name similar to $2`, "SIMILAR is not on the list"},
	{"regclass", `select 'products'::regclass, $1::uuid`, "type regclass is not on the list of types"},
	{"rows of a table as a type", `select unnest($2::products[]), $1::uuid`, "type products is not on the list of types"},
	{"xml", `select xmlelement(name a, name) from products where tenant_id = $1`, "does not know a XmlExpr"},
	{"json table", `select j.a from json_table('{}', '$' columns (a int path '$')) as j, products where tenant_id = $1`, "does not know a JsonTable"},
	{"named argument", `select lower(string => name) from products where tenant_id = $1`, "a named argument"},

	// Not one query.
	{"two statements", `select id from products where tenant_id = $1; select id from products`, "the text is 2 statements"},
	{"none", ``, "the text is 0 statements"},
	{"no SQL", `selekt`, "parse: syntax error"},
	{"set", `set local app.tenant_id = 'x'`, "only select, insert, update and delete can be proven"},
	{"do", `do $$ begin end $$`, "a Do is no query"},
	{"call", `call move_rows($1)`, "a Call is no query"},
	{"copy", `copy products to program 'cat'`, "a Copy is no query"},
	{"lock", `lock table products`, "a Lock is no query"},
	{"explain", `explain analyze select id from products`, "a Explain is no query"},
	{"prepare", `prepare s as select id from products`, "a Prepare is no query"},
	{"declare", `declare c cursor for select id from products`, "a DeclareCursor is no query"},
	{"truncate", `truncate products`, "a Truncate is no query"},
	{"create as", `create temp table copy as select * from products`, "a CreateTableAs is no query"},
}

// Statements against the control database as the request role.
var tiedAccount = []trial{
	{name: "people of the tenant", sql: `select u.email from memberships m join users u on u.id = m.user_id where m.tenant_id = $1`},
	{name: "people, where the membership is a subquery's", sql: `select u.email from users u where u.id = $2 and exists (select from memberships m where m.tenant_id = $1 and m.user_id = $2)`,
		says: "table users (alias u) is not tied to the tenant's members"},
	{name: "people by a subquery that gives them", sql: `select u.email from (select user_id from memberships where tenant_id = $1) as m join users u on u.id = m.user_id`},
	{name: "people of people", sql: `select v.email from memberships m join users u on u.id = m.user_id left join users v on v.id = u.id where m.tenant_id = $1`},
	{name: "all people", sql: `select email from users where $1::uuid is not null`,
		says: `table users is not tied to the tenant's members: join it to memberships that are tied, by "users.id = m.user_id"`},
	{name: "people by the tenant's id", sql: `select email from users where id = $1`, says: "table users is not tied"},
	{name: "people of all tenants", sql: `select u.email from memberships m join users u on u.id = m.user_id where $1::uuid is not null`, says: "table memberships (alias m) is not tied"},
	{name: "people by another column", sql: `select u.email from memberships m join users u on u.id = m.id where m.tenant_id = $1`, says: "table users (alias u) is not tied"},
	{name: "people of a left join", sql: `select u.email from users u left join memberships m on u.id = m.user_id and m.tenant_id = $1`, says: "table users (alias u) is not tied"},
	{name: "tenant by a member's id", sql: `select n.id from memberships m join memberships n on n.tenant_id = m.user_id where m.tenant_id = $1`, says: "table memberships (alias n) is not tied"},
	{name: "table without a grant", sql: `select id from sessions where tenant_id = $1`, says: "table sessions is not granted to commonhold_app"},
	{name: "secrets", sql: `select c.password_hash from memberships m join user_credentials c on c.user_id = m.user_id where m.tenant_id = $1`, says: "table user_credentials is not granted to commonhold_app"},
	{name: "change of people", sql: `update users u set display_name = $2 from memberships m where u.id = m.user_id and m.tenant_id = $1`, says: "table users is changed, but has no tenant_id"},
}

func TestTrials(t *testing.T) {
	t.Parallel()
	sets := proven(t)
	for _, group := range []struct {
		name   string
		schema *Schema
		trials []trial
	}{
		{"tied", sets[0].schema, tied},
		{"untied", sets[0].schema, untiedTrials},
		{"account", sets[1].schema, tiedAccount},
	} {
		for _, c := range group.trials {
			t.Run(group.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				err := group.schema.Prove(Query{File: "queries/test.sql", Name: "Trial", SQL: c.sql, Tenant: 1})
				switch {
				case c.says == "" && group.name == "untied":
					t.Fatal("the trial does not say why it is refused")
				case c.says == "" && err != nil:
					t.Errorf("%s\nis refused:\n%v", c.sql, err)
				case c.says != "" && err == nil:
					t.Errorf("%s\nis proven", c.sql)
				case c.says != "" && !strings.Contains(err.Error(), c.says):
					t.Errorf("%s\nis refused for another reason than %q:\n%v", c.sql, c.says, err)
				}
			})
		}
	}
}

// What a newcomer reads, word for word.
func TestRefusalReadsWell(t *testing.T) {
	t.Parallel()
	schema := proven(t)[0].schema
	err := schema.Prove(Query{File: "queries/tenant/products.sql", Name: "ListProducts", SQL: "select p.id from products as p", Tenant: 1})
	want := `queries/tenant/products.sql: ListProducts: table products (alias p) is not tied to the tenant: add "p.tenant_id = @tenant_id" to its WHERE`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	// The select list says nothing of ties, a condition may be meant for one.
	err = schema.Prove(Query{File: "queries/tenant/products.sql", Name: "ListProducts", SQL: "select tenant_id, id from products where id = $2", Tenant: 1})
	want = `queries/tenant/products.sql: ListProducts: table products is not tied to the tenant: add "products.tenant_id = @tenant_id" to its WHERE`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	err = schema.Prove(Query{File: "queries/tenant/products.sql", Name: "ListProducts", SQL: "select id from products where tenant_id in ($1)", Tenant: 1})
	want += "; what its conditions say of tenant_id does not count: a tie is a plain = with @tenant_id or a tied tenant_id, joined to the rest by AND alone, and not in the ON of an outer join that keeps all rows of products"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	err = schema.Prove(Query{File: "queries/tenant/products.sql", Name: "ListProducts", SQL: "select id from products where id = $1"})
	if err == nil || !strings.Contains(err.Error(), "the query takes no tenant: bind @tenant_id") {
		t.Errorf("a query without a tenant: %v", err)
	}
}

// A tree with a table where the prover does not look for one, as a newer parser might
// make it.
func TestNothingIsOverlooked(t *testing.T) {
	t.Parallel()
	tree, err := parse("select 1 union select 2")
	if err != nil {
		t.Fatal(err)
	}
	q := Query{File: "queries/test.sql", Name: "Odd", Tenant: 1}
	if err := proven(t)[0].schema.proveTree(q, tree); err != nil {
		t.Fatal(err)
	}
	tree.kids["fromClause"] = []*node{fromItem("products")}
	if err := proven(t)[0].schema.proveTree(q, tree); err == nil || !strings.Contains(err.Error(), "the proof did not pass by a RangeVar") {
		t.Errorf("a table in an odd place: %v", err)
	}
}
