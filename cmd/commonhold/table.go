package main

import (
	"strings"
	"unicode/utf8"
)

// column is a column of a table.
type column struct {
	title string
	// least is how short its texts may be cut where the terminal is narrow, 0: they are
	// not cut.
	least int
	// spare is when the column is left out where that does not help: 1 is the first to go,
	// 0 never goes.
	spare int
	right bool // numbers
}

// table shows rows below each other in lines that fit a terminal. A page of rows at a time
// may be added; the first one says how wide the columns are.
type table struct {
	con     console
	columns []column
	widths  []int // of the columns shown, -1 for one that is left out; nil before the first page
}

// between is what stands between two columns.
const between = "  "

// add prints a page of rows, each with a text for every column.
func (t *table) add(rows [][]string) error {
	var out strings.Builder
	if t.widths == nil {
		t.fit(rows)
		titles := make([]string, len(t.columns))
		for i, c := range t.columns {
			titles[i] = c.title
		}
		t.line(&out, titles)
	}
	for _, row := range rows {
		t.line(&out, row)
	}
	_, err := t.con.out.Write([]byte(out.String()))
	return err
}

func (t *table) line(out *strings.Builder, row []string) {
	var cells []string
	for i, text := range row {
		width := t.widths[i]
		if width < 0 {
			continue
		}
		if t.con.width > 0 {
			text = cut(text, width)
		}
		pad := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
		if t.columns[i].right {
			text, pad = pad+text, ""
		}
		cells = append(cells, text+pad)
	}
	out.WriteString(strings.TrimRight(strings.Join(cells, between), " ") + "\n")
}

// fit chooses the widths: as wide as the rows need, and on a terminal no wider than that,
// by cutting what may be cut and then by leaving columns out.
func (t *table) fit(rows [][]string) {
	t.widths = make([]int, len(t.columns))
	for i, c := range t.columns {
		t.widths[i] = utf8.RuneCountInString(c.title)
		for _, row := range rows {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	if t.con.width == 0 {
		return
	}
	for spare := 1; ; spare++ {
		for i, c := range t.columns {
			if c.least > 0 && t.widths[i] > c.least {
				t.widths[i] = max(c.least, t.widths[i]-max(0, t.total()-t.con.width))
			}
		}
		if t.total() <= t.con.width || spare > len(t.columns) {
			return
		}
		for i, c := range t.columns {
			if c.spare == spare {
				t.widths[i] = -1
			}
		}
	}
}

func (t *table) total() int {
	total := -len(between)
	for _, width := range t.widths {
		if width >= 0 {
			total += width + len(between)
		}
	}
	return total
}

// cut is a text of at most so many characters, whose end says that there was more.
func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(0, width-1)]) + "…"
}
