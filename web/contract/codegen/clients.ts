// Three ways to send a document by its hash; a bundle needs one of them.
import {ApolloClient, ApolloLink, HttpLink, InMemoryCache} from '@apollo/client';
import {PersistedQueryLink} from '@apollo/client/link/persisted-queries';
import {relayStylePagination} from '@apollo/client/utilities';
import type {TypedDocumentNode} from '@graphql-typed-document-node/core';
import {Client, cacheExchange, fetchExchange} from '@urql/core';
import {persistedExchange} from '@urql/exchange-persisted';

// hashOf is what the client preset has put into a document.
export function hashOf(document: object): string {
  const {__meta__: meta} = document as {__meta__?: {hash?: string}};
  if (!meta?.hash) throw new Error('This document was not generated with persistedDocuments: true.');
  return meta.hash;
}

export function apollo(uri: string, token: string): ApolloClient {
  return new ApolloClient({
    cache: new InMemoryCache({typePolicies: {Query: {fields: {products: relayStylePagination(['filter', 'orderBy'])}}}}),
    link: ApolloLink.from([
      new PersistedQueryLink({generateHash: hashOf}),
      new HttpLink({uri, headers: {authorization: `Bearer ${token}`}}),
    ]),
  });
}

export function urql(url: string, token: string): Client {
  return new Client({
    url,
    preferGetMethod: false,
    fetchOptions: {headers: {authorization: `Bearer ${token}`}},
    exchanges: [
      cacheExchange,
      persistedExchange({
        generateHash: async (_, document) => hashOf(document),
        enableForMutation: true,
        preferGetForPersistedQueries: false,
      }),
      fetchExchange,
    ],
  });
}

// ask needs no library: the hash is the documentId.
export async function ask<Data, Variables>(uri: string, token: string | undefined, document: TypedDocumentNode<Data, Variables>, variables: Variables): Promise<Data> {
  const response = await fetch(uri, {
    method: 'POST',
    headers: {
      ...(token && {authorization: `Bearer ${token}`}),
      'content-type': 'application/json',
      accept: 'application/graphql-response+json',
    },
    body: JSON.stringify({documentId: hashOf(document), variables}),
  });
  const {data, errors} = await response.json() as {data?: Data, errors?: {message: string, extensions: {code: string}}[]};
  if (!data || errors) throw new Error(errors?.map(e => `${e.extensions.code}: ${e.message}`).join('\n'));
  return data;
}
