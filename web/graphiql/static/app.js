// The bar above GraphiQL: signing in and out, keeping the session fresh, and
// telling what went wrong. Plain JavaScript, run as it is.
"use strict";

(() => {
  // GraphiQL's scroll lock makes one <style> element and takes its nonce from
  // this name; see policy() in graphiql.go.
  globalThis.__webpack_nonce__ = document.currentScript.nonce;

  const { endpoint, accounts } = JSON.parse(document.body.dataset.config);
  const byId = (id) => document.getElementById(id);

  // ---- Messages ------------------------------------------------------------

  // An alert region announces a change of its text, so the text is set after the
  // region is shown.
  function say(text) {
    byId("message").hidden = !text;
    byId("message-text").textContent = text || "";
  }

  const errorText = (error) =>
    error.extensions?.code ? `${error.message} (${error.extensions.code})` : error.message;
  const userErrorText = (error) => {
    const field = error.field?.at(-1);
    return field && field !== "input" ? `${field}: ${error.message}` : error.message;
  };

  // ---- Session -------------------------------------------------------------

  // sessionStorage ends with the tab and is not shared with others; nothing else
  // holds a token.
  const KEY = "commonhold.session";
  const EARLY_MS = 60_000; // refresh this long before the access token ends

  function storedSession() {
    try {
      return JSON.parse(sessionStorage.getItem(KEY));
    } catch {
      return null;
    }
  }
  function storeSession(session) {
    if (session) sessionStorage.setItem(KEY, JSON.stringify(session));
    else sessionStorage.removeItem(KEY);
  }

  // post sends one operation without GraphiQL. It throws an Error whose message
  // can be shown, with the status where there is one.
  async function post(query, variables, token) {
    const headers = { "content-type": "application/json", accept: "application/json" };
    if (token) headers.authorization = `Bearer ${token}`;
    let response;
    try {
      response = await fetch(endpoint, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
    } catch {
      throw new Error(unreachable);
    }
    const result = await response.json().catch(() => null);
    const problem = result?.errors?.length
      ? result.errors.map(errorText).join(" ")
      : !result || !response.ok ? notGraphQL(response) : "";
    if (problem) throw Object.assign(new Error(problem), { status: response.status });
    return { data: result.data, date: response.headers.get("date") };
  }
  const unreachable = `No answer from ${endpoint}. Is the server still running?`;
  const notGraphQL = (response) =>
    `The server answered ${response.status} ${response.statusText}`.trim() + " instead of a GraphQL result.";

  const PAYLOAD = "session { accessToken refreshToken expiresAt } userErrors { field message code }";
  const SIGN_IN = `mutation($input: SignInInput!) { signIn(input: $input) { ${PAYLOAD} } }`;
  const REFRESH = `mutation($refreshToken: String!) { refreshSession(input: {refreshToken: $refreshToken}) { ${PAYLOAD} } }`;
  const SIGN_OUT = "mutation { signOut(input: {}) { userErrors { message } } }";
  const VIEWER = "query { viewer { user { email displayName } role tenant { slug name } } }";

  // sessionOf reads a payload of signIn or refreshSession. The end of the token
  // is kept on this machine's clock, whatever the difference to the server's.
  function sessionOf(payload, date) {
    if (payload.userErrors?.length || !payload.session) {
      const texts = (payload.userErrors || []).map(userErrorText);
      throw Object.assign(new Error(texts.join(" ") || "The server gave no session."), { refused: true });
    }
    const ahead = date ? Date.now() - Date.parse(date) : 0;
    return {
      accessToken: payload.session.accessToken,
      refreshToken: payload.session.refreshToken,
      endsAt: Date.parse(payload.session.expiresAt) + ahead,
    };
  }

  // One refresh at a time: a refresh token is good for one use, so requests that
  // find the session stale together wait for the same answer.
  let refreshing = null;
  function refreshed(stale) {
    const current = storedSession();
    if (!current || current.accessToken !== stale.accessToken) return Promise.resolve(current);
    refreshing ??= refresh(current).finally(() => { refreshing = null; });
    return refreshing;
  }
  async function refresh(session) {
    let next = null;
    let ended = false;
    try {
      const { data, date } = await post(REFRESH, { refreshToken: session.refreshToken });
      next = sessionOf(data.refreshSession, date);
    } catch (error) {
      // Only the server's no ends the session; an outage does not.
      ended = Boolean(error.refused) || error.status === 401;
      if (!ended) say(`The session could not be renewed: ${error.message}`);
    }
    // Someone signed in or out meanwhile: theirs counts.
    if (storedSession()?.refreshToken !== session.refreshToken) return storedSession();
    if (next) storeSession(next);
    else if (ended) {
      endSession();
      say("Your session has ended. Sign in again to go on.");
    }
    return next;
  }

  // ---- What GraphiQL sends -------------------------------------------------

  const hasAuthorization = (headers) =>
    Object.keys(headers || {}).some((name) => name.toLowerCase() === "authorization");
  const inform = (text, status) => new Response(
    JSON.stringify({ errors: [{ message: text }] }),
    { status, headers: { "content-type": "application/json" } },
  );

  let refusals = 0; // answers of 401 in a row
  function noteRefusal(status, own) {
    if (status !== 401) {
      refusals = 0;
      return;
    }
    refusals += 1;
    const what = refusals === 1 ? "The server refused this request (401)." : `The server refused ${refusals} requests in a row (401).`;
    const advice = own
      ? "Check the Authorization header in the Headers pane, or remove it to use the account you signed in with."
      : "Sign in again to go on.";
    say(`${what} ${advice}`);
  }

  // authorizedFetch is the fetch of GraphiQL's fetcher. A header that the person
  // wrote into the Headers pane wins over the session.
  async function authorizedFetch(url, init) {
    const own = hasAuthorization(init.headers);
    const send = (session) => fetch(url, session
      ? { ...init, headers: { ...init.headers, authorization: `Bearer ${session.accessToken}` } }
      : init);
    let response;
    try {
      let session = own ? null : storedSession();
      if (session && session.endsAt - Date.now() < EARLY_MS) {
        const next = await refreshed(session);
        session = next || storedSession(); // an outage of the renewal leaves what we had
      }
      response = await send(session);
      if (response.status === 401 && session) {
        const next = await refreshed(session);
        if (next) response = await send(next);
      }
    } catch {
      return inform(unreachable, 503);
    }
    noteRefusal(response.status, own);
    const type = response.headers.get("content-type") || "";
    return /json|multipart\/mixed/.test(type) ? response : inform(notGraphQL(response), response.status);
  }

  // ---- The bar -------------------------------------------------------------

  const title = (role) => role.charAt(0) + role.slice(1).toLowerCase().replaceAll("_", " ");
  let viewer = null;
  let busy = false;

  function showBar() {
    const signedIn = Boolean(storedSession());
    const who = byId("who");
    who.classList.toggle("signed-in", Boolean(viewer));
    if (viewer) {
      const role = title(viewer.role);
      const name = document.createElement("strong");
      name.textContent = viewer.user.displayName;
      // The demo accounts are called what they are: "Owner at Acme" says it once.
      const rest = viewer.user.displayName === role ? "" : `, ${role}`;
      who.replaceChildren(name, `${rest} at ${viewer.tenant.name}`);
      who.title = viewer.user.email;
    } else {
      who.textContent = busy ? "Signing in…" : signedIn ? "Signed in" : "Not signed in";
      who.title = "";
    }
    byId("sign-out").hidden = !signedIn;
    byId("open-sign-in").hidden = signedIn;
    byId("switch").hidden = !signedIn || accounts.length === 0;
    byId("accounts").classList.toggle("folded", signedIn && byId("switch").getAttribute("aria-expanded") === "false");
    for (const button of byId("accounts").querySelectorAll("button")) {
      const mine = viewer?.user.email === button.dataset.email && viewer?.tenant.slug === button.dataset.tenant;
      button.setAttribute("aria-pressed", String(Boolean(mine)));
      // Not the disabled attribute: that would take the keyboard focus away.
      button.setAttribute("aria-disabled", String(busy));
    }
  }

  function buildAccounts() {
    const tenants = new Map();
    for (const account of accounts) {
      if (!tenants.has(account.tenant)) tenants.set(account.tenant, []);
      tenants.get(account.tenant).push(account);
    }
    for (const [tenant, members] of tenants) {
      const group = document.createElement("div");
      group.className = "tenant";
      group.setAttribute("role", "group");
      const label = document.createElement("span");
      label.className = "tenant-name";
      label.id = `tenant-${tenant}`;
      label.textContent = members[0].tenantName || tenant;
      group.setAttribute("aria-labelledby", label.id);
      group.append(label);
      for (const account of members) {
        const button = document.createElement("button");
        button.type = "button";
        button.className = "account";
        button.dataset.tenant = account.tenant;
        button.dataset.email = account.email;
        button.title = `Sign in as ${account.email}`;
        button.textContent = members.filter((m) => m.role === account.role).length > 1 ? account.email : title(account.role);
        button.addEventListener("click", () => {
          if (!busy) signIn(account).catch((error) => say(error.message));
        });
        group.append(button);
      }
      byId("accounts").append(group);
    }
    byId("accounts").hidden = accounts.length === 0;
  }

  // signIn throws an Error whose message can be shown. The session before stays
  // until there is a new one, and is then ended on the server too.
  async function signIn({ tenant, email, password }) {
    busy = true;
    say("");
    const before = storedSession();
    const beforeViewer = viewer;
    viewer = null;
    showBar();
    try {
      const { data, date } = await post(SIGN_IN, { input: { tenant, email, password } });
      storeSession(sessionOf(data.signIn, date));
      clearResult();
      refusals = 0;
      byId("switch").setAttribute("aria-expanded", "false");
    } catch (error) {
      viewer = beforeViewer;
      throw error;
    } finally {
      busy = false;
      showBar();
    }
    if (before) post(SIGN_OUT, {}, before.accessToken).catch(() => {}); // it ends by itself soon
    await loadViewer();
    reloadSchema();
  }

  async function loadViewer() {
    let session = storedSession();
    if (!session) return;
    if (session.endsAt - Date.now() < EARLY_MS) session = (await refreshed(session)) || storedSession();
    if (!session) return;
    const ask = (s) => post(VIEWER, {}, s.accessToken);
    try {
      let answer;
      try {
        answer = await ask(session);
      } catch (error) {
        if (error.status !== 401) throw error;
        session = await refreshed(session);
        if (!session) return;
        answer = await ask(session);
      }
      // Another account may have signed in while this answer was on its way.
      if (storedSession()?.accessToken === session.accessToken) viewer = answer.data.viewer;
    } catch (error) {
      say(`You are signed in, but your account could not be read: ${error.message}`);
    }
    showBar();
  }

  function endSession() {
    storeSession(null);
    viewer = null;
    byId("switch").setAttribute("aria-expanded", "false");
    showBar();
  }

  // Signing out forgets the tokens first: whatever the server answers, this tab
  // can no longer use them.
  async function signOut() {
    const session = storedSession();
    endSession();
    clearResult();
    say("");
    byId("open-sign-in").focus();
    if (!session) return;
    try {
      const { data } = await post(SIGN_OUT, {}, session.accessToken);
      const errors = data.signOut.userErrors || [];
      if (errors.length) throw new Error(errors.map(userErrorText).join(" "));
    } catch (error) {
      if (error.status === 401) return; // the session was over already
      say(`Signed out here, but the server did not confirm it: ${error.message}`);
    }
  }

  function wireBar() {
    const dialog = byId("sign-in");
    const problem = byId("sign-in-problem");
    byId("open-sign-in").addEventListener("click", () => {
      problem.textContent = "";
      dialog.showModal();
    });
    byId("sign-in-cancel").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => { byId("password").value = ""; });
    byId("sign-in-form").addEventListener("submit", async (event) => {
      event.preventDefault();
      if (busy) return;
      const input = {};
      for (const name of ["tenant", "email", "password"]) {
        const field = byId(name);
        input[name] = name === "password" ? field.value : field.value.trim();
        if (!input[name] && name !== "tenant") {
          problem.textContent = `Enter the ${name === "email" ? "email address" : name}.`;
          field.focus();
          return;
        }
      }
      if (!input.tenant) delete input.tenant;
      problem.textContent = "";
      try {
        await signIn(input);
        dialog.close();
        byId("sign-out").focus();
      } catch (error) {
        problem.textContent = error.message;
        byId("password").select();
      }
    });
    byId("sign-out").addEventListener("click", signOut);
    byId("message-close").addEventListener("click", () => say(""));
    byId("switch").addEventListener("click", (event) => {
      const open = event.currentTarget.getAttribute("aria-expanded") === "true";
      event.currentTarget.setAttribute("aria-expanded", String(!open));
      showBar();
    });
  }

  // ---- GraphiQL ------------------------------------------------------------

  const run = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘-Enter" : "Ctrl-Enter";
  const EXAMPLES = [
    `# Products, their category and who created them.
# Sign in above, then run this (${run}).
query Products {
  products(
    first: 20
    filter: {inStock: true}
    orderBy: {field: PRICE, direction: DESC}
  ) {
    totalCount
    edges {
      cursor
      node {
        id
        sku
        name
        price { amount currencyCode }
        stock
        category { id name }
        createdBy { id displayName }
        createdAt
      }
    }
    # The next page: add after: "the endCursor"
    pageInfo { hasNextPage endCursor }
  }
}
`,
    `# A new product. A SKU is unique in its tenant:
# run this twice to meet a user error.
mutation CreateProduct {
  createProduct(
    input: {
      sku: "LAMP-OAK-01"
      name: "Oak desk lamp"
      description: "Warm light, oiled oak."
      price: {amount: "12.50", currencyCode: EUR}
      stock: 3
      # An id from the first tab: categoryId: "cat_…"
    }
  ) {
    product { id }
    userErrors { field message code }
  }
}
`,
    `# Who you are, and what your role permits.
query Viewer {
  viewer {
    user { id email displayName }
    role
    permissions
    tenant { id slug name }
  }
}
`,
  ];

  let root = null;
  let schemaKnown = false;
  function renderEditor() {
    // A new fetcher makes GraphiQL ask for the schema again.
    const fetcher = GraphiQL.createFetcher({ url: endpoint, fetch: authorizedFetch });
    root.render(React.createElement(GraphiQL, {
      fetcher,
      defaultTabs: EXAMPLES.map((query) => ({ query })),
      defaultEditorToolsVisibility: false,
      shouldPersistHeaders: false, // a header may be a credential
      onSchemaChange: (schema) => { schemaKnown = Boolean(schema); },
    }));
  }
  function reloadSchema() {
    if (!schemaKnown) renderEditor();
  }
  // What the account before was shown does not stay beside the next one's name.
  function clearResult() {
    document.querySelector(".result-window .CodeMirror")?.CodeMirror.setValue("");
  }

  buildAccounts();
  wireBar();
  showBar();
  root = ReactDOM.createRoot(byId("playground"));
  renderEditor();
  loadViewer();
})();
