// urql, as it comes.
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {after, before, test} from 'node:test';
import {Client, cacheExchange, fetchExchange, gql} from '@urql/core';
import {persistedExchange} from '@urql/exchange-persisted';
import {signIn, start, watched} from './server.js';

let server, token;
before(async () => {
  server = await start();
  token = await signIn(server);
});
after(() => server?.stop());

function client({exchanges = [], authorization = `Bearer ${token}`, ...options} = {}) {
  const {fetch, seen} = watched();
  const urql = new Client({
    url: server.graphql,
    fetch,
    exchanges: [cacheExchange, ...exchanges, fetchExchange],
    fetchOptions: {headers: authorization ? {authorization} : {}},
    preferGetMethod: false,
    ...options,
  });
  return {urql, seen};
}

const list = gql`
  query List($first: Int, $after: String) {
    products(first: $first, after: $after) {
      nodes { id name }
      pageInfo { hasNextPage endCursor }
    }
  }`;

test('a query with a token, page after page', async () => {
  const {urql, seen} = client();
  const ids = new Set();
  let after;
  for (let page = 0; page < 3; page++) {
    const {data, error} = await urql.query(list, {first: 4, after}).toPromise();
    assert.equal(error, undefined);
    data.products.nodes.forEach(n => ids.add(n.id));
    after = data.products.pageInfo.endCursor;
  }
  assert.equal(ids.size, 12);
  // It offers event streams and multipart with every request; documents that need neither get neither.
  assert.ok(seen.every(r => /event-stream.*multipart/.test(r.accept) && r.media === 'application/graphql-response+json; charset=utf-8'), JSON.stringify(seen));
});

test('a mutation, and one that could not', async () => {
  const {urql} = client();
  const mutation = gql`mutation($input: CreateCategoryInput!) { createCategory(input: $input) { category { name } userErrors { field code } } }`;
  const made = await urql.mutation(mutation, {input: {name: 'Made by urql'}}).toPromise();
  assert.equal(made.data.createCategory.category.name, 'Made by urql');
  const refused = await urql.mutation(mutation, {input: {name: ' '}}).toPromise();
  assert.equal(refused.error, undefined);
  assert.equal(refused.data.createCategory.category, null);
  assert.deepEqual(refused.data.createCategory.userErrors.map(e => [e.field, e.code]), [[['input', 'name'], 'INVALID']]);
});

test('an error has its code', async () => {
  for (const [options, query, code] of [
    [{authorization: ''}, gql`{ viewer { role } }`, 'UNAUTHENTICATED'],
    [{authorization: 'Bearer nonsense'}, gql`{ viewer { role } }`, 'UNAUTHENTICATED'],
    [{}, gql`{ nothing }`, 'BAD_REQUEST'],
  ]) {
    const {error} = await client(options).urql.query(query, {}).toPromise();
    assert.equal(error?.graphQLErrors[0]?.extensions.code, code, String(error));
  }
});

test('queries by GET', async () => {
  const {urql, seen} = client({preferGetMethod: true});
  const {data} = await urql.query(list, {first: 2}).toPromise();
  assert.equal(data.products.nodes.length, 2);
  assert.deepEqual(seen.map(r => [r.method, r.status]), [['GET', 200]]);
});

test('automatic persisted queries: the document once, its hash from then on', async () => {
  const options = () => ({exchanges: [persistedExchange({preferGetForPersistedQueries: false, generateHash: async text => createHash('sha256').update(text).digest('hex')})]});
  const first = client(options());
  assert.equal((await first.urql.query(list, {first: 3}).toPromise()).data.products.nodes.length, 3);
  assert.deepEqual(first.seen.map(r => [r.status, Boolean(r.body.query)]), [[400, false], [200, true]]);
  const second = client(options());
  assert.equal((await second.urql.query(list, {first: 4}).toPromise()).data.products.nodes.length, 4);
  assert.deepEqual(second.seen.map(r => [r.status, Boolean(r.body.query)]), [[200, false]]);
});

test('@defer: what is there first, then the rest', async () => {
  const {urql, seen} = client();
  const query = gql`{ products(first: 3) { nodes { id name ... @defer { price { amount } createdBy { displayName } } } } }`;
  const results = [];
  await new Promise(resolve => {
    const {unsubscribe} = urql.query(query, {}).subscribe(result => {
      results.push(structuredClone({data: result.data, error: String(result.error ?? ''), hasNext: result.hasNext}));
      if (!result.hasNext) {
        resolve();
        setImmediate(() => unsubscribe());
      }
    });
  });
  assert.match(seen[0].media, /^multipart\/mixed/);
  assert.ok(results.length >= 2 && results.every(r => r.error === ''), JSON.stringify(results));
  assert.ok(results[0].data.products.nodes.every(n => n.name && !n.price), JSON.stringify(results[0]));
  assert.ok(results.at(-1).data.products.nodes.every(n => n.price.amount && n.createdBy.displayName), JSON.stringify(results.at(-1)));
});
