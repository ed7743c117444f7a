// GraphQL over HTTP, held to its specification by the audits of graphql-http.
import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {createServer} from 'node:http';
import {after, before, test} from 'node:test';
import {serverAudits} from 'graphql-http';
import {start} from './server.js';

// What the specification leaves open (MAY) and this server does otherwise, each
// explained in docs/graphql.md under its id.
const notices = [];

const docs = readFileSync(new URL('../../docs/graphql.md', import.meta.url), 'utf8');

let server;
before(async () => { server = await start(); });
after(() => server?.stop());

for (const {id, name} of serverAudits({url: 'http://127.0.0.1'})) {
  test(`${id} ${name}`, async () => {
    const audit = serverAudits({url: server.graphql}).find(a => a.id === id);
    const result = await audit.fn();
    const said = result.status === 'ok' ? '' : `${result.reason}: ${result.response?.status} ${await result.response?.text()}`;
    if (notices.includes(id)) {
      assert.equal(result.status, 'notice', `expected a notice; take it off the list if it is none any more. ${said}`);
      assert.ok(docs.includes(`\`${id}\``), 'docs/graphql.md does not explain this notice');
      return;
    }
    assert.equal(result.status, 'ok', said);
  });
}

// What the audits are there for, planted: a server that answers everything alike.
test('a server that knows nothing of the specification is found out', async () => {
  const wrong = createServer((request, response) => {
    request.resume();
    response.writeHead(200, {'Content-Type': 'text/plain'}).end('{"data":null}');
  }).listen(0, '127.0.0.1');
  await new Promise(resolve => wrong.once('listening', resolve));
  try {
    const found = {ok: 0, notice: 0, warn: 0, error: 0};
    for (const audit of serverAudits({url: `http://127.0.0.1:${wrong.address().port}/graphql`})) {
      found[(await audit.fn()).status]++;
    }
    assert.ok(found.error >= 1 && found.warn >= 10 && found.notice >= 10, JSON.stringify(found));
  } finally {
    wrong.closeAllConnections?.();
    wrong.close();
  }
});
