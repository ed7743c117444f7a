package textproof

// The allow-lists: what an expression may be made of, each with the reason why it
// cannot reach a row, a setting or a session that the statement's own tables do not
// give it. Before adding to them, read the function's page in the manual: what reads
// by a name or by text given to it (nextval, query_to_xml, pg_relation_size,
// current_setting, to_regclass …) never belongs here.

const (
	compares   = "compares the values it is given"
	computes   = "computes from the values it is given"
	folds      = "folds the rows of its own query level, which are tied"
	places     = "places a row among the rows of its own query level, which are tied"
	expands    = "makes rows of the values it is given"
	readsClock = "reads the clock, the same for all tenants"
	rollsDice  = "makes a new value of chance"
)

// functions may be called in queries/tenant and queries/account.
var functions = map[string]string{
	"count": folds, "sum": folds, "min": folds, "max": folds, "avg": folds, "bool_and": folds, "bool_or": folds,
	"array_agg": folds, "string_agg": folds, "jsonb_agg": folds, "jsonb_object_agg": folds,

	"row_number": places, "rank": places, "dense_rank": places, "percent_rank": places, "cume_dist": places, "ntile": places,
	"lag": places, "lead": places, "first_value": places, "last_value": places, "nth_value": places,

	"unnest": expands, "generate_series": expands,

	"now": readsClock, "clock_timestamp": readsClock, "statement_timestamp": readsClock, "transaction_timestamp": readsClock,
	"gen_random_uuid": rollsDice,

	"abs": computes, "ceil": computes, "floor": computes, "round": computes, "trunc": computes, "mod": computes, "sign": computes,
	"lower": computes, "upper": computes, "initcap": computes, "btrim": computes, "ltrim": computes, "rtrim": computes,
	"length": computes, "char_length": computes, "octet_length": computes, "strpos": computes, "position": computes, "substring": computes,
	"left": computes, "right": computes, "replace": computes, "split_part": computes, "concat": computes, "concat_ws": computes,
	"starts_with": computes, "date_trunc": computes, "extract": computes, "date_part": computes, "timezone": computes,
	"array_length": computes, "cardinality": computes, "array_position": computes, "array_append": computes, "array_remove": computes,
	"jsonb_build_object": computes, "jsonb_build_array": computes, "jsonb_array_length": computes, "jsonb_typeof": computes,
}

// operators are those of pg_catalog, which comes first in every search path.
var operators = map[string]string{
	"=": compares, "<>": compares, "<": compares, "<=": compares, ">": compares, ">=": compares,
	"~~": compares, "!~~": compares, "~~*": compares, "!~~*": compares, // like, not like, ilike, not ilike
	"@>": compares, "<@": compares, "&&": compares, "?": compares,
	"+": computes, "-": computes, "*": computes, "/": computes, "%": computes, "||": computes,
	"->": computes, "->>": computes, "#>": computes, "#>>": computes,
}

// comparisons are the forms that an expression with an operator may have.
var comparisons = map[string]string{
	"AEXPR_OP": compares, "AEXPR_OP_ANY": compares, "AEXPR_OP_ALL": compares, "AEXPR_IN": compares,
	"AEXPR_DISTINCT": compares, "AEXPR_NOT_DISTINCT": compares, "AEXPR_NULLIF": compares,
	"AEXPR_LIKE": compares, "AEXPR_ILIKE": compares,
	"AEXPR_BETWEEN": compares, "AEXPR_NOT_BETWEEN": compares,
}

// types may be cast to. The reg types are not here: they look names up in the catalogs.
var types = map[string]string{
	"uuid": computes, "text": computes, "varchar": computes, "bpchar": computes, "bytea": computes, "bool": computes, "boolean": computes,
	"int2": computes, "int4": computes, "int8": computes, "float4": computes, "float8": computes, "numeric": computes,
	"timestamptz": computes, "timestamp": computes, "date": computes, "time": computes, "interval": computes, "jsonb": computes,
}

// values are the functions that SQL writes without parentheses; the rest of them tell
// of the role, the catalog or the search path.
var values = map[string]string{
	"SVFOP_CURRENT_DATE": readsClock, "SVFOP_CURRENT_TIMESTAMP": readsClock, "SVFOP_CURRENT_TIMESTAMP_N": readsClock,
}
