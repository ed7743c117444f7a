// graphql-inspector: a change of the schema that can break a client of the last
// release has a line in the changelog.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';
import {announced, breaking, unannounced} from './breaking.js';

const read = name => readFileSync(new URL(name, import.meta.url), 'utf8');
const released = read('released/schema.graphql');
const current = read('../../schema.graphql');

test('every breaking change has a line in CHANGELOG.md', async () => {
  const missing = await unannounced(released, current, read('../../CHANGELOG.md'));
  assert.deepEqual(missing.map(c => `${c.coordinate}: ${c.message}`), [],
    'Undo these changes, or name each coordinate in backquotes in CHANGELOG.md, under "### Breaking" of "## Unreleased".');
});

const changelog = lines => `# Changelog\n\n## Unreleased\n\n${lines}\n\n## 1.0.0\n\n### Breaking\n\n* \`Product.name\` is gone.\n`;

// What the check is there for, planted.
for (const [what, coordinate, from, to] of [
  ['a field that is gone', 'Product.sku', /  "The stock-keeping unit, unique in this tenant, compared to the letter."\n  sku: String!\n/, ''],
  ['a field that may be null from now on', 'Product.name', /(type Product implements[^}]*?) name: String!/, '$1 name: String'],
  ['a field of another type', 'Product.stock', / stock: Int!\n/, ' stock: Decimal!\n'],
  ['an argument that is gone', 'Query.products.filter', /    "Only products for which every given condition holds."\n    filter: ProductFilter\n/, ''],
  ['an argument that is required from now on', 'Query.products.filter', /filter: ProductFilter\n/, 'filter: ProductFilter!\n'],
  ['a value of an enum that is gone', 'OrderDirection.DESC', /  "Highest first."\n  DESC\n/, ''],
  ['an input field that is required from now on', 'CreateProductInput.description', /(input CreateProductInput [^}]*?) description: String\n/, '$1 description: String!\n'],
  ['a type that is no node any more', 'Customer', /type Customer implements Node /, 'type Customer '],
]) {
  test(`${what} is found, until the changelog names it`, async () => {
    const planted = current.replace(from, to);
    assert.notEqual(planted, current, 'nothing was planted');
    assert.ok((await breaking(current, planted)).some(c => c.coordinate === coordinate), JSON.stringify(await breaking(current, planted)));
    const missing = text => unannounced(current, planted, text).then(all => all.map(c => c.coordinate));
    for (const silent of ['', `### Added\n\n* \`${coordinate}\` is new.`, `### Breaking\n\n* \`${coordinate}s\` is gone.`, `### Breaking\n\n* ${coordinate} is gone.`]) {
      assert.ok((await missing(changelog(silent))).includes(coordinate), silent);
    }
    assert.ok(!(await missing(changelog(`### Breaking\n\n* \`${coordinate}\`: why, and what to do.\n\n### Added`))).includes(coordinate));
  });
}

test('what adds to the schema breaks nothing', async () => {
  const more = current.replace('"Highest first."', '"Any way."\n  ANY\n  "Highest first."') + '\n"A note."\ntype Note {\n  "The id."\n  id: ID!\n}\n';
  assert.deepEqual(await breaking(current, more), []);
});

test('a changelog is read up to its next heading, and to its end', () => {
  assert.deepEqual([...announced('## Unreleased\n\n### Breaking\n\n* `A.b`, `A.c`\n')], ['A.b', 'A.c']);
  assert.deepEqual([...announced('## Unreleased\n\n## 1.0.0\n\n### Breaking\n\n* `A.b`\n')], []);
});
