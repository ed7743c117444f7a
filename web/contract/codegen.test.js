// graphql-codegen: the client preset with persisted documents, what it makes compiled
// by TypeScript with a front end, and its manifest given to a server that answers
// nothing else.
import assert from 'node:assert/strict';
import {copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync} from 'node:fs';
import {after, before, test} from 'node:test';
import {fileURLToPath} from 'node:url';
import {demo, serve, start, tool} from './server.js';

const here = path => fileURLToPath(new URL(path, import.meta.url));
const manifest = here('codegen/gql/persisted-documents.json');

let dev, server, token, catalog, clients, documents;
before(async () => {
  rmSync(here('codegen/gql'), {recursive: true, force: true});
  rmSync(here('build/codegen'), {recursive: true, force: true});
  await tool('codegen', 'graphql-codegen', '--config', 'codegen.js');
  await tool('codegen', 'tsc');
  [catalog, clients, documents] = await Promise.all(['catalog', 'clients', 'gql/graphql'].map(name => import(`./build/codegen/${name}.js`)));
  dev = await start();
  server = await serve(dev, '--trusted-documents', manifest);
  const {signIn} = await clients.ask(server.graphql, undefined, catalog.signIn, {input: demo});
  token = signIn.session.accessToken;
});
after(async () => {
  await server?.stop();
  await dev?.stop();
});

const input = sku => ({sku, name: 'Compass', price: {amount: '12.50', currencyCode: 'EUR'}, stock: 1});

// post sends a body as it is; the answer is its code, or what it has as data.
async function post(body, url = server.graphql) {
  const response = await fetch(url, {method: 'POST', headers: {'content-type': 'application/json', authorization: `Bearer ${token}`}, body: JSON.stringify(body)});
  const {data, errors} = await response.json();
  return errors?.[0].extensions.code ?? data;
}

test('the manifest has every operation', () => {
  const named = Object.values(JSON.parse(readFileSync(manifest, 'utf8'))).map(text => text.match(/(?:query|mutation) (\w+)/)[1]);
  assert.deepEqual(named.sort(), ['AddProduct', 'Catalog', 'SignIn', 'Thing']);
});

test('without a library', async () => {
  const page = await clients.ask(server.graphql, token, catalog.catalogQuery, {first: 2});
  const shown = catalog.cards(page);
  assert.equal(shown.length, 2);
  assert.ok(shown.every(line => /^.+: \d+\.\d\d EUR$/.test(line)), shown.join());
  const next = await clients.ask(server.graphql, token, catalog.catalogQuery, {first: 2, after: page.products.pageInfo.endCursor});
  assert.equal(new Set([...shown, ...catalog.cards(next)]).size, 4);
  assert.equal(catalog.outcome(await clients.ask(server.graphql, token, catalog.addProduct, {input: input('CODEGEN-1')})), 'added CODEGEN-1');
  assert.equal(catalog.outcome(await clients.ask(server.graphql, token, catalog.addProduct, {input: input('CODEGEN-1')})), 'sku: TAKEN');
});

test('Apollo Client', async () => {
  const apollo = clients.apollo(server.graphql, token);
  const {data} = await apollo.query({query: catalog.catalogQuery, variables: {first: 3}});
  assert.equal(catalog.cards(data).length, 3);
  const added = await apollo.mutate({mutation: catalog.addProduct, variables: {input: input('CODEGEN-2')}});
  assert.equal(catalog.outcome(added.data), 'added CODEGEN-2');
  const {id} = added.data.createProduct.product;
  const thing = await apollo.query({query: catalog.thingQuery, variables: {id}});
  assert.equal(thing.data.node.sku, 'CODEGEN-2');
  assert.equal(apollo.cache.extract()[`Product:${id}`].name, 'Compass'); // known by its type and id
});

test('urql', async () => {
  const urql = clients.urql(server.graphql, token);
  const {data, error} = await urql.query(catalog.catalogQuery, {first: 3}).toPromise();
  assert.equal(error, undefined);
  assert.equal(catalog.cards(data).length, 3);
  const added = await urql.mutation(catalog.addProduct, {input: input('CODEGEN-3')}).toPromise();
  assert.equal(catalog.outcome(added.data), 'added CODEGEN-3');
});

test('a document by its hash is answered, and no other', async () => {
  const hash = clients.hashOf(documents.CatalogDocument);
  const text = JSON.parse(readFileSync(manifest, 'utf8'))[hash];
  const variables = {first: 1};
  const persisted = sha256Hash => ({persistedQuery: {version: 1, sha256Hash}});
  for (const body of [{documentId: hash}, {extensions: persisted(hash)}, {extensions: persisted(hash), query: text}]) {
    assert.equal((await post({...body, variables})).products?.edges.length, 1, JSON.stringify(body));
  }
  const other = '{ viewer { role } }';
  for (const body of [
    {query: other}, {query: text}, {query: '{ __schema { queryType { name } } }'}, {documentId: hash.slice(0, -1)},
    {extensions: persisted(hash), query: other}, {extensions: persisted('0'.repeat(64)), query: other}, {documentId: ''},
  ]) {
    assert.equal(await post({...body, variables}), 'DOCUMENT_NOT_TRUSTED', JSON.stringify(body));
  }
});

test('a manifest that the schema does not answer keeps the server from starting', async () => {
  const dir = mkdtempSync(here('planted-'));
  try {
    const wrong = `${dir}/persisted-documents.json`;
    writeFileSync(wrong, JSON.stringify({abc: '{ products { nodes { colour } } }'}));
    await assert.rejects(serve(dev, '--trusted-documents', wrong), /abc: Cannot query field "colour"/);
  } finally {
    rmSync(dir, {recursive: true});
  }
});

// What the tools are there for, planted: a document that asks for what is not there,
// and a front end that takes a price for a number.
test('a front end that does not fit the schema is found out', async () => {
  const dir = mkdtempSync(here('planted-'));
  try {
    const name = dir.slice(here('.').length);
    copyFileSync(here('codegen/codegen.js'), `${dir}/codegen.js`);
    writeFileSync(`${dir}/tsconfig.json`, JSON.stringify({extends: here('codegen/tsconfig.json'), compilerOptions: {rootDir: '.', noEmit: true}, include: ['*.ts', 'gql/*.ts']}));
    const source = readFileSync(here('codegen/catalog.ts'), 'utf8');
    writeFileSync(`${dir}/catalog.ts`, source.replace('createdAt\n', 'created\n'));
    await assert.rejects(tool(name, 'graphql-codegen', '--config', 'codegen.js'), /Cannot query field "created"/);
    writeFileSync(`${dir}/catalog.ts`, source.replace('${price.amount}', '${price.amount * 2}'));
    await tool(name, 'graphql-codegen', '--config', 'codegen.js');
    await assert.rejects(tool(name, 'tsc'), /left-hand side of an arithmetic operation/);
    copyFileSync(here('codegen/catalog.ts'), `${dir}/catalog.ts`);
    await tool(name, 'tsc');
  } finally {
    rmSync(dir, {recursive: true});
  }
});
