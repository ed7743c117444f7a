// What docs/graphql.md shows of front ends is what these suites run, and the versions it
// names are those that are installed.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {test} from 'node:test';

const read = name => readFileSync(new URL(name, import.meta.url), 'utf8');
const [, section] = read('../../docs/graphql.md').split(/^## Clients\n/m);
const files = ['codegen/codegen.js', 'codegen/clients.ts', 'codegen/catalog.ts', 'relay/relay.config.json', 'relay/environment.ts', 'relay/catalog.ts'];

test('every block of code stands in a file that is run', () => {
  const blocks = [...section.matchAll(/```\w+\n(.*?)\n```/gs)].map(m => m[1]);
  assert.ok(blocks.length >= 6, `${blocks.length} blocks`);
  const run = files.map(read);
  for (const block of blocks) assert.ok(run.some(text => text.includes(block)), `no file has it any more:\n${block}`);
});

test('the versions are those of the lock file', () => {
  const {packages} = JSON.parse(read('package-lock.json'));
  const rows = [...section.matchAll(/^\| (.+?) \| (\d.*?) \|/gm)].map(m => [m[1], m[2].split(', ')]);
  const names = {
    '`graphql-http`': ['graphql-http'], 'Apollo Client': ['@apollo/client'], 'urql': ['@urql/core'],
    'Relay compiler and runtime': ['relay-compiler', 'relay-runtime', 'babel-plugin-relay'],
    'graphql-codegen, client preset': ['@graphql-codegen/cli', '@graphql-codegen/client-preset'],
    'graphql-eslint': ['@graphql-eslint/eslint-plugin'], 'graphql-inspector': ['@graphql-inspector/core'],
  };
  assert.deepEqual(rows.map(([name]) => name), Object.keys(names));
  for (const [name, versions] of rows) {
    assert.deepEqual([...new Set(names[name].map(n => packages[`node_modules/${n}`].version))], versions, name);
  }
  assert.ok(section.includes(`TypeScript ${packages['node_modules/typescript'].version}`));
});
