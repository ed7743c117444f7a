package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// report collects what BENCH.md shows.
type report struct {
	ratios, figures, statements [][]string
}

func (r *report) ratio(what, baseline string, value float64, promised string) {
	say("%s: %.2f of %s", what, value, baseline)
	r.ratios = append(r.ratios, []string{what, baseline, fmt.Sprintf("%.2f", value), promised})
}

func (r *report) figure(what, value, promised string) {
	say("%s: %s", what, value)
	r.figures = append(r.figures, []string{what, value, promised})
}

func (r *report) write(server string) error {
	var s strings.Builder
	fmt.Fprintf(&s, "# Benchmarks\n\nWritten by `make bench` on %s: %d cores, %s, PostgreSQL %s on the same machine.\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), server)
	fmt.Fprintf(&s, "\nA ratio is the median of %d pairs run in turns with its baseline, in slices of %d ms, %d clients,\n%d tenants of %d products unless it says otherwise: quote the ratios, not the times.\n\n", pairs, slice.Milliseconds(), clients, tenants, perHome)
	table(&s, []string{"what", "baseline", "ratio", "promised"}, r.ratios)
	s.WriteString("\nA ratio of throughput is better the higher it is, one of time the lower.\n\n")
	table(&s, []string{"what", "median", "promised"}, r.figures)
	s.WriteString("\nStatements per request by the number of clients at once. Who asks is known from memory.\nOne statement per loader and level is exact where a loader's wait is long enough for every\nsibling (asserted in tests); under load a batch may be split.\n\n")
	table(&s, []string{"query", "1", "8", "32"}, r.statements)
	fmt.Print(s.String())
	return os.WriteFile("BENCH.md", []byte(s.String()), 0o644)
}

func table(s *strings.Builder, head []string, rows [][]string) {
	fmt.Fprintf(s, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		fmt.Fprintf(s, "| %s |\n", strings.Join(row, " | "))
	}
}
