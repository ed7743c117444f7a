package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/commonhold/commonhold/graph"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/control"
	"github.com/commonhold/commonhold/internal/demo"
	"github.com/commonhold/commonhold/internal/keyring"
	"github.com/commonhold/commonhold/internal/server"
)

// documented are queries of the documentation, with the statements that they cost
// where nothing runs beside them: one for each loader and level.
var documented = []struct {
	name, query string
}{
	{"20 products with category and creator", `{ products(first: 20) { nodes { id sku name price { amount } category { name } createdBy { displayName } } pageInfo { hasNextPage } } }`},
	{"categories with 5 products each and their creators", `{ categories { nodes { name products(first: 5) { nodes { name createdBy { displayName } } } } } }`},
	{"viewer", `{ viewer { user { displayName } role tenant { name } } }`},
}

// tally counts the statements that the access log reports.
type tally struct {
	slog.Handler
	requests, statements atomic.Int64
}

func (*tally) Enabled(context.Context, slog.Level) bool { return true }

func (t *tally) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "statements" {
			t.requests.Add(1)
			t.statements.Add(a.Value.Int64())
		}
		return true
	})
	return nil
}

// served is the API of the demo tenants, and who is signed in there.
type served struct {
	*httptest.Server
	client *http.Client
	token  string
}

// serve begins to serve. X-Forwarded-For says where a request is from.
func (b *bench) serve(ctx context.Context, cost auth.PasswordParams) (*served, error) {
	key, err := auth.NewSigningKey()
	if err != nil {
		return nil, err
	}
	tokens, err := auth.NewTokens("http://bench.example", "commonhold", 0, nil, key)
	if err != nil {
		return nil, err
	}
	ring, _, err := keyring.New()
	if err != nil {
		return nil, err
	}
	registry := control.NewRegistry(b.db)
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	passwords := auth.NewPasswords(cost)
	passwords.HashApart(self, hashApart)
	people := auth.NewService(b.db, registry, tokens, passwords, ring)
	if err := people.SetTrustedProxies([]string{"127.0.0.0/8"}); err != nil {
		return nil, err
	}
	if err := demo.Seed(ctx, b.db, registry, people); err != nil {
		return nil, err
	}
	session, _, err := people.SignIn(ctx, "acme", "owner@acme.example", demo.Password)
	if err != nil {
		return nil, err
	}
	return &served{
		Server: httptest.NewServer(server.New(server.Config{DB: b.db, Resolver: &graph.Resolver{DB: b.db, Auth: people}, Limits: server.DefaultLimits()})),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, token: session.AccessToken,
	}, nil
}

// requests counts the statements of whole requests under load.
func (b *bench) requests(ctx context.Context, r *report) error {
	logger := slog.Default()
	defer slog.SetDefault(logger)
	s, err := b.serve(ctx, auth.TestPasswordParams())
	if err != nil {
		return err
	}
	defer s.Close()
	for _, q := range documented {
		say("requests: %s", q.name)
		body, err := json.Marshal(map[string]string{"query": q.query})
		if err != nil {
			return err
		}
		slog.SetDefault(slog.New(slog.DiscardHandler))
		ask := func(ctx context.Context, _ *rand.Rand) error {
			return post(ctx, s.client, s.URL+"/graphql", s.token, body)
		}
		row := []string{q.name}
		for _, n := range []int{1, 8, 32} {
			if _, err := throughput(ctx, n, turn, ask); err != nil { // warms up
				return err
			}
			t := &tally{}
			slog.SetDefault(slog.New(t))
			rate, err := throughput(ctx, n, turn, ask)
			if err != nil {
				return err
			}
			row = append(row, fmt.Sprintf("%.2f", float64(t.statements.Load())/float64(t.requests.Load())))
			if n == 8 {
				say("%.0f requests a second with 8 clients", rate)
			}
		}
		r.statements = append(r.statements, row)
	}
	return nil
}

func post(ctx context.Context, client *http.Client, url, token string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	text, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || bytes.Contains(text, []byte(`"errors"`))) {
		err = fmt.Errorf("status %d: %s", response.StatusCode, text)
	}
	return err
}

// startup measures a compiled `commonhold dev`, from its start to the first answer.
func startup(ctx context.Context, r *report) error {
	dir, err := os.MkdirTemp("", "chbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // best effort at the end
	if err := os.Chmod(dir, 0o711); err != nil {
		return err
	}
	binary := filepath.Join(dir, "commonhold")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/commonhold").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	var cold, warm, memory []float64
	for i := range starts {
		say("start %d of %d", i+1, starts)
		data := filepath.Join(dir, strconv.Itoa(i))
		first, _, err := start(ctx, binary, data)
		if err != nil {
			return err
		}
		second, rss, err := start(ctx, binary, data)
		if err != nil {
			return err
		}
		cold, warm, memory = append(cold, first.Seconds()), append(warm, second.Seconds()), append(memory, rss)
	}
	r.figure("`dev` on an empty directory, to the first answered query", fmt.Sprintf("%.2f s", median(cold)), "≤ 5 s")
	r.figure("`dev` on its data, to the first answered query", fmt.Sprintf("%.2f s", median(warm)), "≤ 1 s")
	if runtime.GOOS == "linux" {
		r.figure("resident memory of the idle server", fmt.Sprintf("%.0f MB", median(memory)), "≤ 60 MB")
	}
	return nil
}

func start(ctx context.Context, binary, data string) (took time.Duration, rss float64, err error) {
	command := exec.CommandContext(ctx, binary, "dev", "--addr", "127.0.0.1:0", "--data", data)
	out, err := command.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := command.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		err = errors.Join(err, command.Process.Signal(syscall.SIGINT), command.Wait())
	}()
	address, err := untilReady(out)
	if err != nil {
		return 0, 0, err
	}
	if err := post(ctx, http.DefaultClient, address+"/graphql", "", []byte(`{"query":"{ __typename }"}`)); err != nil {
		return 0, 0, err
	}
	took = time.Since(begin)
	rss, err = resident(command.Process.Pid)
	return took, rss, err
}

func untilReady(out io.Reader) (string, error) {
	var screen strings.Builder
	buffer := make([]byte, 4096)
	for {
		n, err := out.Read(buffer)
		screen.Write(buffer[:n])
		if _, after, ok := strings.Cut(screen.String(), "\nready "); ok && strings.HasSuffix(after, "\n") {
			return strings.TrimSpace(after), nil
		}
		if err != nil {
			return "", fmt.Errorf("dev ended before it was ready: %s", screen.String())
		}
	}
}

// resident is the memory of a process in MB, as Linux counts it.
func resident(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // another system
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kilobytes, parseErr := strconv.ParseFloat(strings.Fields(after + " 0")[0], 64)
	return kilobytes / 1000, errors.Join(err, parseErr)
}
