package fault_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/commonhold/commonhold/internal/fault"
)

func TestCodeOf(t *testing.T) {
	t.Parallel()
	taken := fault.New(fault.Taken, "The name %q is in use.", "x")
	for name, c := range map[string]struct {
		err  error
		want fault.Code
	}{
		"nil":                         {nil, ""},
		"no code":                     {io.EOF, fault.Internal},
		"coded":                       {taken, fault.Taken},
		"wrapped":                     {fmt.Errorf("do: %w", taken), fault.Taken},
		"joined":                      {errors.Join(io.EOF, taken), fault.Taken},
		"the outermost of two":        {fault.New(fault.Conflict, "Try again.").Because(taken), fault.Conflict},
		"the outermost of two, again": {fmt.Errorf("do: %w", fault.New(fault.Conflict, "Try again.").Because(taken)), fault.Conflict},
	} {
		if got := fault.CodeOf(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if c.err != nil && !fault.Is(c.err, c.want) {
			t.Errorf("%s: not %s", name, c.want)
		}
		if fault.Is(c.err, fault.RateLimited) {
			t.Errorf("%s is RATE_LIMITED too", name)
		}
	}
	if fault.Is(nil, "") {
		t.Error("nil has a code")
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	err := fault.New(fault.Invalid, "At most %d %%.", 5)
	if err.Error() != "At most 5 %." || err.Message != "At most 5 %." {
		t.Errorf("%q %q", err.Error(), err.Message)
	}
	err = err.Because(io.ErrUnexpectedEOF)
	// For the log; what is shown is the message alone.
	if err.Error() != "At most 5 %.: unexpected EOF" || err.Message != "At most 5 %." || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q %q", err.Error(), err.Message)
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	fieldOf := func(err error) []string {
		coded, _ := errors.AsType[*fault.Error](err)
		return coded.Field
	}
	inner := fault.New(fault.Invalid, "The amount is below zero.").At("amount")
	located := fault.At(inner, "input", "price")
	if diff := cmp.Diff([]string{"input", "price", "amount"}, fieldOf(located)); diff != "" {
		t.Error(diff)
	}
	if fault.CodeOf(located) != fault.Invalid || located.Error() != inner.Error() {
		t.Errorf("located as %v", located)
	}
	// What was handed in stays as it was, so that one error can be located twice.
	if diff := cmp.Diff([]string{"amount"}, fieldOf(inner)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"max", "amount"}, fieldOf(fault.At(inner, "max"))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"name"}, fieldOf(fault.At(fault.New(fault.Invalid, "Empty."), "name"))); diff != "" {
		t.Error(diff)
	}
	if got := fault.At(io.EOF, "name"); got != io.EOF {
		t.Errorf("an error without a code became %v", got)
	}
	if got := fault.At(nil, "name"); got != nil {
		t.Errorf("nil became %v", got)
	}
}
