// Starts the compiled server for a suite, and ends it with the suite; runs the tools of
// front ends as they do.
import {execFile, spawn} from 'node:child_process';
import {once} from 'node:events';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';

const binary = process.env.COMMONHOLD ?? new URL('../../commonhold', import.meta.url).pathname;
const patience = 120_000; // milliseconds until a server is ready: it makes a database first

// start runs `commonhold dev` on a free port with a database of its own. The answer
// has its origin, such as http://127.0.0.1:40123, and stop().
export function start() {
  return run(['dev', '--ephemeral', '--addr', '127.0.0.1:0']);
}

// serve runs `commonhold serve` beside a server of start, on the same database. Its
// tokens are its own.
export function serve(dev, ...flags) {
  const [, sockets, database] = dev.said.match(/^ +Database +psql -h '?([^' ]+)'? -U postgres (\S+)$/m);
  const [, data] = dev.said.match(/^ +Data +(\S+), gone/m);
  const as = role => `postgres:///${database}?host=${encodeURIComponent(sockets)}&user=${role}`;
  return run(['serve', '--addr', '127.0.0.1:0', '--app-url', as('commonhold_app'), '--control-url', as('commonhold_control'),
    '--key-encryption-key', `${data}/key-encryption-key`, '--public-url', 'http://127.0.0.1',
    '--smtp-url', 'smtp://127.0.0.1', '--mail-from', 'tests@localhost', ...flags]);
}

// run starts the binary and waits until it says that it is ready. What it has said by
// then is in said.
async function run(args) {
  const child = spawn(binary, args, {stdio: ['ignore', 'pipe', 'pipe']});
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
    return {origin, graphql: `${origin}/graphql`, said, stop};
  } catch (err) {
    if (child.exitCode === null && child.pid) await stop();
    throw err;
  }
}

// demo is the owner of a demo tenant.
export const demo = {tenant: 'acme', email: 'owner@acme.example', password: 'commonhold-demo'};

// signIn is an access token of that owner.
export async function signIn(server) {
  const response = await fetch(server.graphql, {
    method: 'POST',
    headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({
      query: 'mutation($input: SignInInput!) { signIn(input: $input) { session { accessToken } userErrors { message } } }',
      variables: {input: demo},
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

// tool runs a program of this package in one of its directories. What it says is in
// the error where it fails.
export async function tool(directory, name, ...args) {
  const here = path => fileURLToPath(new URL(path, import.meta.url));
  try {
    await promisify(execFile)(here(`node_modules/.bin/${name}`), args, {cwd: here(directory)});
  } catch (err) {
    throw new Error(`${name} ${args.join(' ')}: ${err.message}\n${err.stdout}\n${err.stderr}`);
  }
}
