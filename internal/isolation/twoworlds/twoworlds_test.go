package twoworlds

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// requests is how many A asks in each world, and most how many until everything was
// asked.
var requests, most = 5000, 20_000

// What A is answered, and what is stored for it, does not depend on whether there is
// a B.
func TestTwoWorlds(t *testing.T) {
	p := newPair(t, 1, plant{})
	begin := time.Now()
	for wanted := requests; ; wanted += requests / 5 {
		if d := p.run(wanted); d != nil {
			t.Fatal(d)
		}
		missing := p.cover.missing(p.schema)
		if len(missing) == 0 || most == 0 {
			break
		}
		t.Logf("after %d requests there is left: %s", wanted, strings.Join(missing, ", "))
		if wanted >= most {
			t.Fatal("too much was never asked")
		}
		p.fields = leading(p.schema, missing) // half of what comes now is for that
	}
	took := time.Since(begin)
	all := p.origin[own] + p.origin[foreign] + p.origin[junk]
	t.Logf("%d requests in each world in %v (%.0f/s); of the ids and names %d %% own, %d %% foreign, %d %% nobody's",
		p.asked, took.Round(time.Millisecond), float64(p.asked)/took.Seconds(), 100*p.origin[own]/all, 100*p.origin[foreign]/all, 100*p.origin[junk]/all)
}

// TestSoak asks as many requests as COMMONHOLD_REQUESTS says (`make soak`): 5,000 for
// each pair of worlds, so that they stay small enough to be hashed often. Each pair has
// a seed of its own, which a failure names.
func TestSoak(t *testing.T) {
	wanted, err := strconv.Atoi(cmp.Or(os.Getenv("COMMONHOLD_REQUESTS"), "40"))
	if err != nil {
		t.Fatalf("COMMONHOLD_REQUESTS: %v", err)
	}
	begin, told, asked := time.Now(), time.Now(), 0
	for seed := uint64(begin.UnixNano()); asked < wanted; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { // its databases go with it
			p := newPair(t, seed, plant{})
			p.progress = func() {
				if time.Since(told) > 5*time.Second {
					told = time.Now()
					fmt.Printf("%d of %d requests in each world, %.0f a second, seed %d, no difference\n",
						asked+p.asked, wanted, float64(asked+p.asked)/time.Since(begin).Seconds(), seed)
				}
			}
			if d := p.run(min(requests, wanted-asked)); d != nil {
				t.Fatal(d)
			}
			asked += p.asked
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d requests in each world in %v, no difference", asked, time.Since(begin).Round(time.Second))
}
