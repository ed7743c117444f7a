// Relay: its compiler on the schema, what it makes compiled by TypeScript, and its
// runtime, without React, against a server that takes documents and one that takes
// nothing but the ids in the compiler's manifest.
import assert from 'node:assert/strict';
import {mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {after, before, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {transformFileSync} from '@babel/core';
import relay from 'relay-runtime';
import {demo, serve, start, tool} from './server.js';

const {commitMutation, createOperationDescriptor, fetchQuery, getFragment, getPaginationMetadata, getPaginationVariables, getRefetchMetadata, getRequest, getSelector} = relay;
const here = path => fileURLToPath(new URL(path, import.meta.url));
const build = here('build/relay/');

// compile makes the artifacts of a directory and its manifest.
async function compile(directory) {
  rmSync(here(`${directory}/__generated__`), {recursive: true, force: true});
  writeFileSync(here(`${directory}/persisted-documents.json`), '{}'); // the compiler adds to what is there
  await tool(directory, 'relay-compiler', 'relay.config.json');
}

// bundled is what a bundler makes of the front end: its tags replaced by artifacts.
async function bundled() {
  rmSync(build, {recursive: true, force: true});
  await tool('relay', 'tsc');
  writeFileSync(`${build}package.json`, '{"type": "commonjs"}');
  for (const name of readdirSync(build, {recursive: true}).filter(name => name.endsWith('.js'))) {
    const {code} = transformFileSync(build + name, {babelrc: false, configFile: false, plugins: [
      ['relay', {language: 'javascript'}],
      '@babel/plugin-transform-modules-commonjs',
    ]});
    writeFileSync(build + name, code);
  }
  const load = createRequire(build);
  return {...load('./catalog.js'), ...load('./environment.js')};
}

let dev, trusting, app;
before(async () => {
  await compile('relay');
  app = await bundled();
  dev = await start();
  trusting = await serve(dev, '--trusted-documents', here('relay/persisted-documents.json'));
});
after(async () => {
  await trusting?.stop();
  await dev?.stop();
});

const mutate = (environment, mutation, input, config) => new Promise((resolve, reject) => {
  commitMutation(environment, {mutation, variables: {input}, onCompleted: resolve, onError: reject, ...config});
});

// signedIn is an environment of the owner, on a server that takes ids alone or not.
async function signedIn(trusted) {
  const {graphql} = trusted ? trusting : dev;
  const {signIn} = await mutate(app.environment(graphql, undefined, trusted), app.signIn, demo);
  return app.environment(graphql, signIn.session.accessToken, trusted);
}

// view reads a fragment out of the store, and has no part missing.
function view(environment, fragment, key) {
  const snapshot = environment.lookup(getSelector(getFragment(fragment), key));
  assert.equal(snapshot.isMissingData, false);
  return snapshot.data;
}

// loadNext does what usePaginationFragment does for its caller.
function loadNext(environment, fragment, key, count, variables = {}) {
  const node = getFragment(fragment);
  const {paginationRequest, paginationMetadata, connectionPathInFragmentData, identifierField} = getPaginationMetadata(node, 'loadNext');
  const [name] = connectionPathInFragmentData;
  const data = view(environment, fragment, key);
  const {pageInfo} = data[name];
  assert.equal(pageInfo.hasNextPage, true);
  const page = getPaginationVariables('forward', count, pageInfo.endCursor, variables, {}, paginationMetadata);
  if (identifierField) page.id = data[identifierField];
  return fetchQuery(environment, paginationRequest, page).toPromise();
}

for (const trusted of [false, true]) {
  const how = trusted ? 'ids' : 'text';

  test(`${how}: a query, and its list grows page by page`, async () => {
    const environment = await signedIn(trusted);
    const data = await fetchQuery(environment, app.query, {first: 3}).toPromise();
    assert.equal(data.viewer.role, 'OWNER');
    for (const length of [3, 7]) {
      const {edges} = view(environment, app.products, data).products;
      assert.equal(new Set(edges.map(e => e.node.id)).size, length);
      for (const {node} of edges) assert.match(app.line(view(environment, app.card, node)), /^.+: \d+\.\d\d EUR$/);
      if (length < 7) await loadNext(environment, app.products, data, 4);
    }
  });

  test(`${how}: a list below a node grows`, async () => {
    const environment = await signedIn(trusted);
    const {customers} = await fetchQuery(environment, app.customers, {}).toPromise();
    const {node} = customers.edges.find(e => e.node.ordersCount >= 3);
    assert.equal(view(environment, app.orders, node).orders.edges.length, 1);
    await loadNext(environment, app.orders, node, 2);
    const {edges} = view(environment, app.orders, node).orders;
    assert.equal(new Set(edges.map(e => e.node.id)).size, 3);
    assert.ok(edges.every(e => e.node.items.every(i => i.quantity >= 1)));
  });

  test(`${how}: what is added stands in the list, what is refused does not, and what is deleted is gone`, async () => {
    const environment = await signedIn(trusted);
    const data = await fetchQuery(environment, app.query, {first: 2}).toPromise();
    environment.retain(createOperationDescriptor(getRequest(app.query), {first: 2}));
    const shown = () => view(environment, app.products, data).products.edges.filter(e => e?.node).map(e => view(environment, app.card, e.node).name);
    const seen = shown();
    const input = {sku: `RELAY-${how}`, name: 'Sextant', price: {amount: '99.00', currencyCode: 'EUR'}};
    const {createProduct} = await mutate(environment, app.add, input, {updater: app.addFirst});
    assert.deepEqual(createProduct.userErrors, []);
    assert.deepEqual(shown(), ['Sextant', ...seen]);
    const again = await mutate(environment, app.add, input, {updater: app.addFirst});
    assert.deepEqual(again.createProduct.userErrors.map(e => [e.field, e.code]), [[['input', 'sku'], 'TAKEN']]);
    assert.deepEqual(shown(), ['Sextant', ...seen]);
    const {id} = createProduct.product;
    const {version} = view(environment, app.card, createProduct.product);
    await mutate(environment, app.rename, {id, version, name: 'Octant'}); // no updater: the id is enough
    assert.deepEqual(shown(), ['Octant', ...seen]);
    const {deleteProduct} = await mutate(environment, app.remove, {id, version: version + 1});
    assert.deepEqual(deleteProduct.userErrors, []);
    assert.deepEqual(shown(), seen);
  });

  test(`${how}: one node is fetched again, with more of it`, async () => {
    const environment = await signedIn(trusted);
    const data = await fetchQuery(environment, app.query, {first: 20}).toPromise();
    const [{node}] = view(environment, app.products, data).products.edges;
    const {refetchableRequest} = getRefetchMetadata(getFragment(app.card), 'refetch');
    const answer = await fetchQuery(environment, refetchableRequest, {id: node.id, withCategory: true}).toPromise();
    const more = view(environment, app.card, answer.node);
    assert.equal(more.id, node.id);
    assert.ok('category' in more && !('category' in view(environment, app.card, node)));
    // One that never existed is null, and no error.
    const nothing = await fetchQuery(environment, refetchableRequest, {id: 'prod_01k00000000000000000000000'}).toPromise();
    assert.equal(nothing.node, null);
  });

  test(`${how}: an error of the answer is one of the query`, async () => {
    const environment = app.environment((trusted ? trusting : dev).graphql, undefined, trusted);
    await assert.rejects(fetchQuery(environment, app.query, {first: 1}).toPromise(), /sign in|token/i);
  });
}

test('a server that takes ids takes no text', async () => {
  const environment = app.environment(trusting.graphql, undefined, false);
  await assert.rejects(fetchQuery(environment, app.query, {first: 1}).toPromise(), /answers only the documents/);
});

// What the compiler is there for, planted.
for (const [what, from, to, says] of [
  ['a field that is not there', 'createdAt', 'created', /no field `created`|'created'/],
  ['a fragment fetched again on what is no node', 'fragment catalogCard on Product', 'fragment catalogCard on Money', /@refetchable/],
  ['a list that is no connection', '@connection(key: "catalog__orders")', '@connection(key: "catalog__items")', /__orders/],
]) {
  test(`${what} is found out`, async () => {
    const dir = mkdtempSync(here('planted-'));
    try {
      const name = dir.slice(here('.').length);
      const source = readFileSync(here('relay/catalog.ts'), 'utf8');
      assert.ok(source.includes(from), 'nothing was planted');
      writeFileSync(`${dir}/catalog.ts`, source.replace(from, to));
      writeFileSync(`${dir}/relay.config.json`, readFileSync(here('relay/relay.config.json')));
      await assert.rejects(compile(name), says);
    } finally {
      rmSync(dir, {recursive: true});
    }
  });
}
