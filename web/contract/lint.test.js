// graphql-eslint: the recommended rules for a schema, those of Relay, and a description
// for everything.
import assert from 'node:assert/strict';
import {mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {ESLint} from 'eslint';

const schema = readFileSync(new URL('../../schema.graphql', import.meta.url), 'utf8');
const config = fileURLToPath(new URL('eslint.config.js', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'commonhold-lint-'));
after(() => rmSync(dir, {recursive: true}));

// lint says what is wrong with a schema, as "rule: line: message", under the rules of
// the config and perhaps others.
let files = 0;
async function lint(text, rules = {}) {
  const file = join(dir, `${files++}.graphql`); // a schema is read once by its name
  writeFileSync(file, text);
  const eslint = new ESLint({
    cwd: dir, overrideConfigFile: config,
    overrideConfig: {files: ['**/*.graphql'], languageOptions: {parserOptions: {graphQLConfig: {schema: file}}}, rules},
  });
  const [{messages}] = await eslint.lintFiles(file);
  return messages.map(m => `${m.ruleId?.replace('@graphql-eslint/', '')}: ${m.line}: ${m.message}`);
}

test('the schema has no error', async () => {
  assert.deepEqual(await lint(schema), []);
});

test('what stands in a page can be fetched again by its id, but for the entries of the logs, invitations and their links', async () => {
  const found = await lint(schema, {'@graphql-eslint/relay-edge-types': ['error', {shouldImplementNode: true, listTypeCanWrapOnlyEdgeType: false}]});
  const lines = schema.split('\n');
  const edges = found.map(m => lines.slice(0, m.match(/^relay-edge-types: (\d+)/)[1]).findLast(l => l.startsWith('type ')).split(' ')[1]);
  assert.deepEqual(edges.sort(), ['AccessEventEdge', 'AuditEventEdge', 'InvitationEdge', 'InvitationLinkEdge']);
});

// What the rules are there for, planted.
for (const [rule, from, to] of [
  ['require-description', /"The stock-keeping unit, unique in this tenant, compared to the letter."\n/, ''],
  ['require-description', /"Add a product."\n/, ''],
  ['require-description', /"Highest first."\n/, ''],
  ['require-description', /"The id of a product, `prod_…`."\n/, ''],
  ['require-deprecation-reason', /displayName: String!\n}/, 'displayName: String! @deprecated\n}'],
  ['naming-convention', /\n {2}sku: String!\n/, '\n  stock_keeping_unit: String!\n'],
  ['strict-id-in-types', /type Product implements Node {\n.*\n {2}id: ID!/, 'type Product {'],
  ['no-typename-prefix', /\n {2}sku: String!\n/, '\n  productSku: String!\n'],
  ['no-unreachable-types', /$/, '\n"Nobody asks for it."\ntype Orphan {\n  "The id."\n  id: ID!\n}\n'],
  ['relay-page-info', /\n {2}hasNextPage: Boolean!\n/, '\n  hasNextPage: String!\n'],
  ['relay-connection-types', /edges: \[ProductEdge!\]!/, 'edges: ProductEdge!'],
  ['relay-arguments', /"How many from the start, 1 to 100. Without `first` and `last`: 20."\n +first: Int\n/, ''],
  ['relay-edge-types', /(type ProductEdge {[^}]*)node: Product!/, '$1node: [Product!]!'],
]) {
  test(`${rule} finds a fault`, async () => {
    const planted = schema.replace(from, to);
    assert.notEqual(planted, schema, 'nothing was planted');
    const found = await lint(planted);
    assert.ok(found.some(m => m.startsWith(`${rule}: `)), found.join('\n'));
  });
}
