// Apollo Client, as it comes.
import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {after, before, test} from 'node:test';
import {ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql} from '@apollo/client';
import {Defer20220824Handler} from '@apollo/client/incremental';
import {PersistedQueryLink} from '@apollo/client/link/persisted-queries';
import {relayStylePagination} from '@apollo/client/utilities';
import {filter, firstValueFrom} from 'rxjs';
import {signIn, start, watched} from './server.js';

let server, token;
before(async () => {
  server = await start();
  token = await signIn(server);
});
after(() => server?.stop());

// client is one with a cache of its own, and what it has sent. An expired or missing
// token is sent as it is.
function client({link = [], authorization = `Bearer ${token}`, ...http} = {}) {
  const {fetch, seen} = watched();
  const cache = new InMemoryCache({typePolicies: {Query: {fields: {products: relayStylePagination(['filter', 'orderBy'])}}}});
  const apollo = new ApolloClient({
    cache,
    link: ApolloLink.from([...link, new HttpLink({uri: server.graphql, fetch, headers: authorization ? {authorization} : {}, ...http})]),
    incrementalHandler: new Defer20220824Handler(),
  });
  return {apollo, seen};
}

const list = gql`
  query List($first: Int, $after: String) {
    products(first: $first, after: $after, orderBy: {field: NAME, direction: ASC}) {
      edges { cursor node { id name price { amount currencyCode } } }
      pageInfo { hasNextPage endCursor }
    }
  }`;

test('a query with a token, and its pages one after the other in the cache', async () => {
  const {apollo, seen} = client();
  const watching = apollo.watchQuery({query: list, variables: {first: 3}});
  const subscription = watching.subscribe({});
  await firstValueFrom(watching.pipe(filter(result => result.dataState === 'complete')));
  for (const length of [3, 6, 9]) {
    const {products} = apollo.readQuery({query: list, variables: {first: 3}});
    assert.equal(products.edges.length, length);
    assert.equal(new Set(products.edges.map(e => e.node.id)).size, length);
    assert.equal(products.pageInfo.hasNextPage, true);
    if (length < 9) await watching.fetchMore({variables: {after: products.pageInfo.endCursor}});
  }
  subscription.unsubscribe();
  const names = apollo.readQuery({query: list, variables: {first: 3}}).products.edges.map(e => e.node.name.toLowerCase());
  assert.deepEqual(names, [...names].sort());
  assert.ok(seen.length === 3 && seen.every(r => r.method === 'POST' && r.media === 'application/graphql-response+json; charset=utf-8'), JSON.stringify(seen));
});

test('a mutation, and one that could not', async () => {
  const {apollo} = client();
  const mutation = gql`
    mutation Create($input: CreateProductInput!) {
      createProduct(input: $input) { product { id sku } userErrors { field code message } }
    }`;
  const input = {sku: 'APOLLO-1', name: 'Lunar module', price: {amount: '12.50', currencyCode: 'EUR'}, stock: 1};
  const made = await apollo.mutate({mutation, variables: {input}});
  assert.equal(made.data.createProduct.product.sku, 'APOLLO-1');
  assert.deepEqual(made.data.createProduct.userErrors, []);
  const again = await apollo.mutate({mutation, variables: {input}});
  assert.equal(again.data.createProduct.product, null);
  const [{field, code}] = again.data.createProduct.userErrors;
  assert.deepEqual([field, code], [['input', 'sku'], 'TAKEN']);
});

test('an error has its code', async () => {
  for (const [authorization, code] of [[undefined, 'OK'], ['', 'UNAUTHENTICATED'], ['Bearer nonsense', 'UNAUTHENTICATED']]) {
    const {apollo} = client(authorization === undefined ? {} : {authorization});
    const asked = apollo.query({query: gql`{ viewer { role } }`});
    if (code === 'OK') {
      assert.equal((await asked).data.viewer.role, 'OWNER');
      continue;
    }
    await assert.rejects(asked, err => CombinedGraphQLErrors.is(err) && err.errors[0].extensions.code === code);
  }
  const {apollo} = client();
  await assert.rejects(apollo.query({query: gql`{ nothing }`}), err => CombinedGraphQLErrors.is(err) && err.errors[0].extensions.code === 'BAD_REQUEST');
});

test('queries by GET', async () => {
  const {apollo, seen} = client({useGETForQueries: true});
  const {data} = await apollo.query({query: list, variables: {first: 2}});
  assert.equal(data.products.edges.length, 2);
  assert.deepEqual(seen.map(r => [r.method, r.status]), [['GET', 200]]);
});

test('automatic persisted queries: the document once, its hash from then on', async () => {
  const persisted = () => new PersistedQueryLink({sha256: text => createHash('sha256').update(text).digest('hex')});
  const first = client({link: [persisted()]});
  assert.equal((await first.apollo.query({query: list, variables: {first: 4}})).data.products.edges.length, 4);
  assert.deepEqual(first.seen.map(r => [r.status, r.body.query !== undefined]), [[400, false], [200, true]]);
  const second = client({link: [persisted()]}); // a new page of the same front end
  assert.equal((await second.apollo.query({query: list, variables: {first: 5}})).data.products.edges.length, 5);
  assert.deepEqual(second.seen.map(r => [r.status, r.body.query !== undefined]), [[200, false]]);
});

test('@defer: what is there first, then the rest', async () => {
  const {apollo, seen} = client();
  const query = gql`
    query Deferred {
      products(first: 3) {
        nodes { id name ...Details @defer }
      }
    }
    fragment Details on Product { price { amount } createdBy { displayName } }`;
  const results = [];
  await new Promise((resolve, reject) => {
    const subscription = apollo.watchQuery({query, fetchPolicy: 'network-only'}).subscribe({
      next(result) {
        if (result.data?.products) results.push(structuredClone(result));
        if (result.dataState === 'complete') {
          resolve();
          setImmediate(() => subscription.unsubscribe());
        }
      },
      error: reject,
    });
  });
  assert.ok(results.length >= 2, JSON.stringify(results));
  assert.ok(results[0].data.products.nodes.every(n => n.name && !('price' in n)), JSON.stringify(results[0]));
  assert.ok(results.at(-1).data.products.nodes.every(n => n.price.amount && n.createdBy.displayName), JSON.stringify(results.at(-1)));
  assert.match(seen[0].media, /^multipart\/mixed/);
  // Without @defer the same client gets its answer in one piece.
  await apollo.query({query: list, variables: {first: 1}});
  assert.equal(seen[1].media, 'application/graphql-response+json; charset=utf-8');
});
