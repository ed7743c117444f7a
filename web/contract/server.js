// Starts the compiled server for a suite, and ends it with the suite.
import {spawn} from 'node:child_process';
import {once} from 'node:events';

const binary = process.env.COMMONHOLD ?? new URL('../../commonhold', import.meta.url).pathname;
const patience = 120_000; // milliseconds until a server is ready: it makes a database first

// start runs `commonhold dev` on a free port with a database of its own. The answer
// has its origin, such as http://127.0.0.1:40123, and stop().
export async function start() {
  const child = spawn(binary, ['dev', '--ephemeral', '--addr', '127.0.0.1:0'], {stdio: ['ignore', 'pipe', 'pipe']});
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGINT');
    await ended;
  };
  let said = '';
  const ready = new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`not ready in ${patience} ms:\n${said}`)), patience);
    const settle = (how, what) => {
      clearTimeout(late);
      how(what);
    };
    child.on('error', err => settle(reject, new Error(`${binary} cannot be run: ${err.message}. Build it: make contract.`)));
    child.on('exit', () => settle(reject, new Error(`the server ended:\n${said}`)));
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', text => {
        if (said.length < 64 << 10) said += text;
        const line = said.match(/^ready (http:\/\/\S+)$/m);
        if (line) settle(resolve, line[1]);
      });
    }
  });
  try {
    const origin = await ready;
    return {origin, graphql: `${origin}/graphql`, stop};
  } catch (err) {
    if (child.exitCode === null && child.pid) await stop();
    throw err;
  }
}

// signIn is an access token of the owner of a demo tenant.
export async function signIn(server) {
  const response = await fetch(server.graphql, {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({
      query: 'mutation($input: SignInInput!) { signIn(input: $input) { session { accessToken } userErrors { message } } }',
      variables: {input: {tenant: 'acme', email: 'owner@acme.example', password: 'commonhold-demo'}},
    }),
  });
  const {data} = await response.json();
  return data.signIn.session.accessToken;
}

// watched is fetch, and what it was asked for and answered.
export function watched() {
  const seen = [];
  const ask = async (url, init) => {
    const response = await fetch(url, init);
    seen.push({
      method: init.method ?? 'GET',
      url: String(url),
      body: init.body ? JSON.parse(init.body) : undefined,
      accept: new Headers(init.headers).get('accept'),
      status: response.status,
      media: response.headers.get('content-type'),
    });
    return response;
  };
  return {fetch: ask, seen};
}
