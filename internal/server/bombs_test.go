package server_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2/validator/rules"

	"github.com/commonhold/commonhold/internal/apitest"
	"github.com/commonhold/commonhold/internal/pgtest"
	"github.com/commonhold/commonhold/internal/server"
)

// bomb is a request that is small to send and was made to be dear to answer.
type bomb struct {
	name string
	body []byte
	// code is what it is answered with; "" where it is within the limits, and cheap.
	code string
	// validated tells a bomb that only the validator can refuse. What the limits
	// leave of it is little work.
	validated bool
}

func post(query string, variables any) []byte {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		panic(err)
	}
	return body
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(format, "#", fmt.Sprint(i)))
	}
	return b.String()
}

func doubling(levels int, leaf string) string {
	var b strings.Builder
	b.WriteString("{ viewer { user { ...f0 } } }\n")
	for i := range levels {
		fmt.Fprintf(&b, "fragment f%d on User { ...f%d ...f%d }\n", i, i+1, i+1)
	}
	fmt.Fprintf(&b, "fragment f%d on User { %s }", levels, leaf)
	return b.String()
}

func bombs() []bomb {
	const tooComplex, badRequest, tooLarge = "QUERY_TOO_COMPLEX", "BAD_REQUEST", "REQUEST_TOO_LARGE"
	nested := func(n int, open, middle, closing string) string {
		return strings.Repeat(open, n) + middle + strings.Repeat(closing, n)
	}
	long := strings.Repeat("x", 200<<10)
	members := make([]string, 9_900) // of one length: an answer names any of them
	for i := range members {
		members[i] = fmt.Sprintf(`"a%04d":%d`, i, i)
	}
	return []bomb{
		{"50 KB of one field", post("{"+strings.Repeat("__typename ", 50<<10/11)+"}", nil), tooComplex, false},
		{"220 KB of one field", post("{"+strings.Repeat("a ", 110<<10)+"}", nil), tooComplex, false},
		{"one field as often as tokens allow", post("{viewer{user{"+strings.Repeat("id ", 1990)+"}}}", nil), tooComplex, false},
		{"one field as often as the limits allow", post("{viewer{user{"+strings.Repeat("id ", 45)+"}}}", nil), "UNAUTHENTICATED", true},
		{"590 times one field", post("{viewer{user{"+strings.Repeat("id ", 590)+"}}}", nil), tooComplex, false},
		{"590 times one field in inline fragments", post("{viewer{user{"+strings.Repeat("...{id} ", 290)+"}}}", nil), tooComplex, false},
		{"3,000 conflicting aliases", post("{viewer{user{"+numbered(3000, "a:id a:email ")+"}}}", nil), tooComplex, false},
		{"as many conflicting aliases as the limits allow", post("{viewer{user{"+strings.Repeat("a:id a:email ", 21)+"}}}", nil), badRequest, true},
		{"conflicting arguments without aliases", post("{"+numbered(160, "product(id:#){id}")+"}", nil), tooComplex, false},
		{"fewer conflicting arguments without aliases", post("{"+numbered(45, "product(id:#){id}")+"}", nil), badRequest, true},
		{"conflicting selections below conflicting arguments", post("{"+numbered(44, "products(first:#){nodes{category{products(last:#){nodes{id}}}}}")+"}", nil), badRequest, true},
		{"fragments that double 25 deep", post(doubling(25, "id"), nil), tooComplex, false},
		{"fragments that double 28 deep around nothing", post(doubling(28, "__typename"), nil), tooComplex, false},
		{"fragments that double 500 deep", post(doubling(500, "id"), nil), tooComplex, false},
		{"fragments nobody spreads that double 25 deep", post(strings.Replace(doubling(25, "id"), "...f0", "id", 1), nil), tooComplex, false},
		{"a fragment inside itself", post("{viewer{user{...a}}} fragment a on User{...a id}", nil), badRequest, true},
		{"a circle of fragments", post("{viewer{user{...f0}}}"+numbered(10, " fragment f# on User{...f0 ...f9 id}"), nil), badRequest, true},
		{"990 spreads of fragments inside each other", post("{viewer{user{...a "+strings.Repeat("...b ", 960)+"}}} fragment a on User{...b} fragment b on User{...a}", nil), tooComplex, false},
		{"many fragments of one name", post("{viewer{user{...f}}}"+numbered(29, " fragment f on User{"+strings.Repeat("id ", 60)+"}"), nil), tooComplex, false},
		{"10,000 directives on one field", post("{__typename "+strings.Repeat("@include(if:true)", 10_000)+"}", nil), tooComplex, false},
		{"directives on variables", post("query("+numbered(20, "$v#:Int @a@a@a ")+"){__typename}", nil), tooComplex, false},
		{"directives on an operation", post("query "+strings.Repeat("@a ", 900)+"{__typename}", nil), tooComplex, false},
		{"5,000 levels", post(nested(5000, "{a", "", "}"), nil), tooComplex, false},
		{"900 levels", post(nested(900, "{a", "", "}"), nil), tooComplex, false},
		{"17 levels in a fragment nobody spreads", post("{__typename} fragment f on Category{"+nested(17, "parent{", "id", "}")+"}", nil), tooComplex, false},
		{"51 aliases", post("{"+numbered(51, "a#:__typename ")+"}", nil), tooComplex, false},
		{"31 fragments", post("{__typename}"+numbered(30, "fragment f# on User{id} "), nil), tooComplex, false},
		{"900 levels of inline fragments", post("{"+nested(450, "...{", "__typename", "}")+"}", nil), tooComplex, false},
		{"a list 60,000 deep in the document", post(`{product(id:`+nested(60_000, "[", "", "]")+`){id}}`, nil), tooComplex, false},
		{"a list 900 deep in the document", post(`{product(id:`+nested(900, "[", "", "]")+`){id}}`, nil), badRequest, true},
		{"an object 450 deep in the document", post(`{products(filter:`+nested(450, "{a:", "1", "}")+`){nodes{id}}}`, nil), badRequest, true},
		{"a list 60,000 deep in a variable", []byte(`{"query":"query($v:ID!){product(id:$v){id}}","variables":{"v":` + nested(60_000, "[", "", "]") + `}}`), tooComplex, false},
		{"a list 9,000 deep in a variable", []byte(`{"query":"query($v:ID!){product(id:$v){id}}","variables":{"v":` + nested(9_000, "[", "", "]") + `}}`), badRequest, true},
		{"an object of 9,900 members in a variable", []byte(`{"query":"query($v:ProductFilter){products(filter:$v){nodes{id}}}","variables":{"v":{` + strings.Join(members, ",") + `}}}`), badRequest, true},
		{"200 KB in an id", post(`query($v:ID!){product(id:$v){id}}`, map[string]any{"v": long}), badRequest, true},
		{"200 KB in a string of the document", post(`{product(id:"`+long+`"){id}}`, nil), tooComplex, false},
		{"60 KB in a string of the document", post(`{product(id:"`+long[:60<<10]+`"){id}}`, nil), badRequest, true},
		{"a password of 200 KB", post(`mutation($v:String!){signIn(input:{email:$v,password:$v}){userErrors{code}}}`, map[string]any{"v": long}), "", true},
		{"60 KB in a string where a number belongs", post(`{products(first:"`+long[:60<<10]+`"){nodes{id}}}`, nil), badRequest, true},
		{"60 KB in a block string where nothing belongs", post(`{viewer{user{id}} """`+long[:60<<10]+`"""}`, nil), badRequest, false},
		{"200 KB in a variable of an enum", post(`query($v:OrderDirection!){products(orderBy:{field:NAME,direction:$v}){nodes{id}}}`, map[string]any{"v": long}), badRequest, true},
		{"200 KB in the name of an input field", post(`query($v:ProductFilter!){products(filter:$v){nodes{id}}}`, map[string]any{"v": map[string]any{long: 1}}), badRequest, true},
		{"200 KB in a comment", post("{__typename} #"+long, nil), tooComplex, false},
		{"60 KB in a comment", post("{__typename} #"+long[:60<<10], nil), "", true},
		{"200 KB of spaces", post("{__typename}"+strings.Repeat(" ", 200<<10), nil), tooComplex, false},
		{"60 KB of emptiness", post("{__typename}"+strings.Repeat("\ufeff ,\n", 10<<10), nil), "", true},
		{"30,000 comments", post("{__typename}"+strings.Repeat("\n#", 30_000), nil), tooComplex, false},
		{"one name of 60 KB", post("{"+long[:60<<10]+"}", nil), badRequest, false},
		{"20 names of 3 KB", post("{"+numbered(20, strings.Repeat("y", 3000)+"# ")+"}", nil), badRequest, false},
		{"590 unknown names", post("{viewer{user{"+numbered(590, "name_that_is_not_there_# ")+"}}}", nil), badRequest, true},
		{"unknown arguments", post("{"+numbered(15, "products("+numbered(20, "argument_that_is_not_there_#:1 ")+"){nodes{id}}")+"}", nil), badRequest, true},
		{"2,000 operations", post(numbered(2000, "query q#{__typename}"), nil), tooComplex, false},
		{"30 operations over shared fragments", post(numbered(15, "query q#($a:Int){viewer{user{...f0}}}")+numbered(14, "fragment f# on User{...f14}")+"fragment f14 on User{"+strings.Repeat("id ", 30)+"}", nil), badRequest, true},
		{"400 variables nobody uses", post("query("+numbered(400, "$v#:Int ")+"){__typename}", nil), badRequest, true},
		{"190 undefined variables", post("{"+numbered(190, "product(id:$v#){id}")+"}", nil), tooComplex, false},
		{"40 undefined variables", post("{"+numbered(40, "product(id:$v#){id}")+"}", nil), badRequest, true},
		{"50 introspections", post("{"+numbered(50, "a#:__schema{types{name description fields{name description}}}")+"}", nil), tooComplex, false},
		{"an introspection of types of fields of types", post("{__schema{types{fields{type{fields{type{fields{type{name}}}}}}}}}", nil), tooComplex, false},
		{"the same in fragments", post("{__type(name:\"Query\"){...a}} fragment a on __Type{fields{type{...b}}} fragment b on __Type{possibleTypes{...c}} fragment c on __Type{interfaces{name}}", nil), tooComplex, false},
		{"50 introspections in a fragment", post("{"+strings.Repeat("...f ", 12)+"} fragment f on Query{"+numbered(4, "a#:__type(name:\"Query\"){fields{name type{name}}}")+"}", nil), tooComplex, false},
		{"120 KB of extensions", []byte(`{"query":"{__typename}","extensions":{"a":` + nested(9_000, `{"a":`, "1", "}") + `,"b":[` + strings.Repeat("1,", 40_000) + `1]}}`), tooComplex, false},
		{"as much of extensions as the limits allow", []byte(`{"query":"{__typename}","extensions":{"a":` + nested(4_000, `{"a":`, "1", "}") + `,"b":[` + strings.Repeat("1,", 5_900) + `1]}}`), "", true},
		{"240 KB of variables nobody declared", []byte(`{"query":"{__typename}","variables":{"b":[` + strings.Repeat("1,", 120_000) + `1]}}`), tooComplex, false},
		{"240 KB of objects in a variable nobody declared", []byte(`{"query":"{__typename}","variables":{"b":[` + strings.Repeat("{},", 80_000) + `1]}}`), tooComplex, false},
		{"as many objects in a variable as the limits allow", []byte(`{"query":"{__typename}","variables":{"b":[` + strings.Repeat("{},", 4_900) + `1]}}`), "", true},
		{"9,900 values in members nobody asked for", []byte(`{"query":"{__typename}","z":[` + strings.Repeat("1,", 9_900) + `1]}`), "", true},
		{"an operation name of 200 KB", []byte(`{"query":"{__typename}","operationName":"` + long + `"}`), badRequest, true},
		{"1 MB of document", post("{"+strings.Repeat("a ", 512<<10)+"}", nil), tooLarge, false},
	}
}

// Every bomb is refused before the validator sees it, or is within the limits and
// then little work; and no answer is longer than four kilobytes.
func TestBombs(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("../../docs/bombs.md")
	if err != nil {
		t.Fatal(err)
	}
	if rows := bytes.Count(table, []byte("\n| ")) - 1; rows != len(bombs())+1 { // and what they are compared with
		t.Errorf("docs/bombs.md has %d rows for %d bombs: %s", rows, len(bombs()), tableCommand)
	}
	api := apitest.New(t, pgtest.New(t))
	anonymous := api.Anonymous()
	for _, b := range bombs() {
		t.Run(b.name, func(t *testing.T) {
			validations := 0
			executor := server.NewExecutor(api.Config)
			executor.SetValidationRulesFn(func() *rules.Rules { validations++; return rules.NewDefaultRules() })
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", bytes.NewReader(b.body))
			r.Header.Set("Content-Type", "application/json")
			if b.code != "REQUEST_TOO_LARGE" { // by what stands before the executor
				executor.ServeHTTP(w, r)
				if got := validations > 0; got != b.validated {
					t.Errorf("validated %v, want %v: %.300s", got, b.validated, w.Body)
				}
			}

			a := anonymous.Post(t, b.body)
			if a.Code() != b.code {
				t.Errorf("code %q, want %q: %.300s", a.Code(), b.code, a.Body)
			}
			if len(a.Body) > 4<<10 {
				t.Errorf("the answer has %d bytes: %.300s", len(a.Body), a.Body)
			}
			if row := b.row(len(a.Body)); !bytes.Contains(table, []byte(row)) {
				t.Errorf("docs/bombs.md has no row %q: %s", row, tableCommand)
			}
			if strings.Contains(b.name, "password") {
				return // the only one that asks what the database holds
			}
			if line := logged.line(t, a.Header.Get("X-Request-Id"), "request"); line["statements"] != 0.0 {
				t.Errorf("it reached the database: %v", line)
			}
		})
	}
}

// Whoever may send documents fills no memory with them: what is remembered of them is
// bounded by what it takes, which is a hundred times the text. Alone: it measures the heap.
func TestDocumentsThatFillTheCache(t *testing.T) { //nolint:paralleltest // see above
	const most = 32 << 20 // twice what the server estimates; there are 85 MB of them
	h := server.NewExecutor(apitest.New(t, pgtest.New(t)).Config)
	ask := func(body []byte) string {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Body.String()
	}
	heap := func() int64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc) //nolint:gosec // far below
	}
	before := heap()
	for i := range 200 {
		document := fmt.Sprintf("query Q%d { nodes(ids: [%s]) { id } }", i, strings.Repeat("1 ", 1970))
		if answer := ask(post(document, nil)); !strings.Contains(answer, "not an id") {
			t.Fatalf("%.300s", answer)
		}
	}
	if grown := heap() - before; grown > most {
		t.Errorf("%d bytes are held, %d at most were expected", grown, most)
	}
	runtime.KeepAlive(h)
}

// tableCommand makes the table anew.
const tableCommand = "make bombs"

// writeTable is where the benchmark leaves its table, "" for nowhere.
var writeTable = flag.String("bombs", "", "file to write the table of bombs to")

// row is how the table begins the row of a bomb whose answer has so many bytes.
func (b bomb) row(answer int) string {
	said := "answered"
	if b.code != "" {
		said = "`" + b.code + "`"
	}
	return fmt.Sprintf("| %s | %d | %s | %d |", b.name, len(b.body), said, answer)
}

// cpu is what this process has used, in seconds of user and system time.
func cpu(b *testing.B) float64 {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return (time.Duration(usage.Utime.Nano()) + time.Duration(usage.Stime.Nano())).Seconds()
}

// BenchmarkBombs says what each bomb costs the whole handler, which is asked anew
// each time so that no cache helps: at most 10 ms of CPU. The first is none, and what
// the others are compared with.
func BenchmarkBombs(b *testing.B) {
	const most = 10 // milliseconds
	w := pgtest.New(b)
	var table strings.Builder
	var plain float64
	for range 100 { // so that the first is not measured cold
		apitest.New(b, w).Anonymous().Do(b, `{ __typename }`, nil)
	}
	for _, bomb := range append([]bomb{{"what is no bomb, to compare: `{ __typename }`", post("{ __typename }", nil), "", true}}, bombs()...) {
		b.Run(strings.ReplaceAll(bomb.name, " ", "_"), func(b *testing.B) {
			api := apitest.New(b, w)
			b.ReportAllocs()
			var used float64
			var answer int
			for b.Loop() {
				b.StopTimer()
				h := server.New(api.Config)
				runtime.GC() // what was made before is not its business
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/graphql", bytes.NewReader(bomb.body))
				r.Host = "localhost"
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				b.StartTimer()
				before := cpu(b)
				h.ServeHTTP(w, r)
				used += cpu(b) - before
				if !strings.Contains(w.Body.String(), bomb.code) || w.Code == http.StatusMisdirectedRequest {
					b.Fatalf("%d %.300s", w.Code, w.Body)
				}
				answer = w.Body.Len()
			}
			each := 1000 * used / float64(b.N)
			if plain == 0 {
				plain = each
			}
			if each > most {
				b.Errorf("%.2f ms of CPU, want %d or less", each, most)
			}
			b.ReportMetric(each, "cpu-ms/op")
			b.ReportMetric(float64(answer), "answer-B")
			fmt.Fprintf(&table, "%s %.2f ms | %.1f |\n", bomb.row(answer), each, each/plain)
		})
	}
	if *writeTable == "" {
		return
	}
	text, err := os.ReadFile(*writeTable)
	if err != nil {
		b.Fatal(err)
	}
	const head = "\n|---|---|---|---|---|---|\n"
	before, _, ok := strings.Cut(string(text), head)
	if !ok {
		b.Fatalf("%s has no table", *writeTable)
	}
	if err := os.WriteFile(*writeTable, []byte(before+head+table.String()), 0o600); err != nil {
		b.Fatal(err)
	}
}
