// How Relay reaches the API: in production with a document's id, which the compiler has
// written into the manifest, before that with its text.
import {Environment, Network, RecordSource, Store} from 'relay-runtime';
import type {GraphQLResponse} from 'relay-runtime';

export function environment(url: string, token: string | undefined, trusted: boolean): Environment {
  return new Environment({
    network: Network.create(async ({id, text}, variables) => {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          ...(token && {authorization: `Bearer ${token}`}),
          'content-type': 'application/json',
          accept: 'application/graphql-response+json',
        },
        body: JSON.stringify(trusted ? {documentId: id, variables} : {query: text, variables}),
      });
      return await response.json() as GraphQLResponse;
    }),
    store: new Store(new RecordSource()),
  });
}
