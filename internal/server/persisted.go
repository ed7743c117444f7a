package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/maypok86/otter/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/commonhold/commonhold/graph"
	"github.com/commonhold/commonhold/internal/auth"
	"github.com/commonhold/commonhold/internal/fault"
	"github.com/commonhold/commonhold/internal/tenant"
	"github.com/commonhold/commonhold/web/links"
)

// keptBytes is how much text of documents is remembered by hash, in bytes.
const keptBytes = 16 << 20

// keptOverhead is what an entry takes beside its text, in bytes, roughly.
const keptOverhead = 200

// Trusted are the documents that a server answers, by the ids that clients name
// them by. Nil: it answers every document.
type Trusted map[string]string

// ReadTrusted reads a manifest as the client preset of graphql-codegen writes it: a
// JSON object of documents by their hashes. The ids are taken as they stand; with
// which algorithm they were made is the business of whoever wrote the file.
//
// Errors: fault.Config, naming the ids of up to five documents that this server's
// schema or limits refuse.
func ReadTrusted(manifest []byte, limits Limits) (Trusted, error) {
	var trusted Trusted
	if err := json.Unmarshal(manifest, &trusted); err != nil || len(trusted) == 0 {
		return nil, fault.New(fault.Config, `The manifest of trusted documents is not a JSON object such as {"HASH": "query { … }"}. The client preset of graphql-codegen writes one with persistedDocuments: true.`).Because(err)
	}
	schema := graph.NewSchema(&graph.Resolver{}).Schema()
	var wrong []string
	for _, id := range slices.Sorted(maps.Keys(trusted)) {
		if problem := limits.problem(schema, trusted[id]); problem != "" {
			wrong = append(wrong, "\n  "+id+": "+problem)
		}
	}
	if wrong != nil {
		return nil, fault.New(fault.Config, "%d of the %d trusted documents would be refused. Generate the manifest again, against the schema of this version:%s",
			len(wrong), len(trusted), strings.Join(wrong[:min(len(wrong), maxRefusals)], ""))
	}
	return trusted, nil
}

// problem is why a document would be refused whoever sent it, "" where it would not.
func (l Limits) problem(schema *ast.Schema, document string) string {
	if err := l.checkTokens(document); err != nil {
		return err.Message
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: document}, l.Tokens)
	if err != nil {
		return err.Error()
	}
	if err := l.check(doc); err != nil {
		return err.Message
	}
	if len(doc.Operations) == 0 {
		return "there is no operation in it"
	}
	if errs := validator.ValidateWithRules(schema, doc, validationRules()); errs != nil {
		return errs[0].Message
	}
	return ""
}

// documents finds the text of a request that names its document. A document found
// so is refused and guarded like one that was sent.
type documents struct {
	trusted Trusted
	// What tenants sent with its hash, to be named by it (Apollo's automatic persisted
	// queries). The tenant is in the key: that somebody sent a document says something
	// about them. Signed out, all are one.
	kept *otter.Cache[keptKey, string]
}

type keptKey struct {
	tenant tenant.ID
	hash   [sha256.Size]byte
}

func newDocuments(trusted Trusted) *documents {
	if trusted != nil { // the pages that this server has itself
		trusted = maps.Clone(trusted)
		maps.Copy(trusted, links.Documents())
	}
	return &documents{trusted: trusted, kept: otter.Must(&otter.Options[keptKey, string]{
		MaximumWeight: keptBytes,
		Weigher:       func(_ keptKey, document string) uint32 { return uint32(len(document) + keptOverhead) }, //nolint:gosec // a body is far shorter
	})}
}

// find puts the document that a request names into it. keep remembers it for the
// next time; call it once the document is known to be valid.
func (d *documents) find(ctx context.Context, g *graphRequest) (keep func(), refused *refusal) {
	keep = func() {}
	hash, refused := g.persistedQuery()
	switch {
	case refused != nil:
		return keep, refused
	case hash != "" && g.documentID != "":
		return keep, badRequest("This request names its document twice. Send documentId or extensions.persistedQuery.")
	case g.documentID != "" && g.Query != "":
		return keep, badRequest("This request has a document and names one too. Send query or documentId.")
	case d.trusted != nil:
		return keep, d.listed(g, hash+g.documentID) // one of them is empty
	case g.documentID != "":
		return keep, notAnswered(fault.DocumentNotFound, "This server keeps no documents by that id. Send the document itself, as query.")
	case hash != "":
		return d.remembered(ctx, g, hash)
	}
	return keep, nil
}

// listed is find where the operator has said which documents there are.
func (d *documents) listed(g *graphRequest, id string) *refusal {
	document, known := d.trusted[id]
	if !known { // GraphQL over HTTP is about to name hashes so
		document, known = d.trusted[strings.TrimPrefix(id, "sha256:")]
	}
	if !known || g.Query != "" && g.Query != document {
		return notAnswered(fault.DocumentNotTrusted, "This server answers only the documents that it was started with. Name one by its id, as documentId or as extensions.persistedQuery.sha256Hash. A new document has to be in the manifest that the operator deploys.")
	}
	g.Query = document
	return nil
}

// remembered is find for what tenants themselves have sent.
func (d *documents) remembered(ctx context.Context, g *graphRequest, hash string) (keep func(), refused *refusal) {
	keep = func() {}
	sum, err := hex.DecodeString(hash)
	if err != nil || len(sum) != sha256.Size || hash != strings.ToLower(hash) {
		return keep, badRequest("extensions.persistedQuery.sha256Hash is not a SHA-256 hash: 64 hexadecimal digits in lower case.")
	}
	key := keptKey{hash: [sha256.Size]byte(sum)}
	if p, err := auth.FromContext(ctx); err == nil {
		key.tenant = p.Tenant.ID
	}
	if document := g.Query; document != "" {
		if sha256.Sum256([]byte(document)) != key.hash {
			return keep, badRequest("extensions.persistedQuery.sha256Hash is not the hash of this document. Hash its UTF-8 text, as it is sent.")
		}
		return func() { d.kept.Set(key, document) }, nil
	}
	document, known := d.kept.GetIfPresent(key)
	if !known { // clients know it by these very words
		return keep, notAnswered(fault.DocumentNotFound, "PersistedQueryNotFound")
	}
	g.Query = document
	return keep, nil
}

// persistedQuery is the hash in extensions.persistedQuery, "" without one.
func (g *graphRequest) persistedQuery() (string, *refusal) {
	extension, ok := g.Extensions["persistedQuery"]
	if !ok || extension == nil {
		return "", nil
	}
	members, _ := extension.(map[string]any)
	hash, _ := members["sha256Hash"].(string)
	if version, _ := members["version"].(json.Number); version != "1" || hash == "" {
		return "", badRequest(`extensions.persistedQuery cannot be read. Send {"version": 1, "sha256Hash": "…"}.`)
	}
	return hash, nil
}
