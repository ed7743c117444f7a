"use strict";

// The token stands behind the #, which browsers send to no server. It leaves the
// address at once, and with that the history.
const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname);

const form = document.querySelector("form");
const button = form.querySelector("button");
const problem = document.getElementById("problem");

function say(name, message) {
  const field = name && form.elements.namedItem(name);
  if (!field) {
    problem.textContent = [problem.textContent, message].filter(Boolean).join(" ");
    return;
  }
  field.closest(".field").hidden = false;
  field.setAttribute("aria-invalid", "true");
  document.getElementById(name + "-error").textContent = message;
}

function clear() {
  for (const said of form.querySelectorAll(".error")) said.textContent = "";
  for (const field of form.querySelectorAll("input")) field.removeAttribute("aria-invalid");
}

async function ask(document, hash, variables, accessToken) {
  const headers = { "Content-Type": "application/json", Accept: "application/graphql-response+json" };
  if (accessToken) headers.Authorization = "Bearer " + accessToken;
  const extensions = { persistedQuery: { version: 1, sha256Hash: hash } };
  const body = JSON.stringify({ query: document, variables, extensions });
  const response = await fetch("../graphql", { method: "POST", headers, body, credentials: "omit" });
  const answer = await response.json();
  if (answer.errors) throw new Error(answer.errors[0].message);
  return answer.data;
}

function input() {
  const given = { token };
  for (const field of form.querySelectorAll("input")) {
    if (field.value !== "") given[field.name] = field.value;
    else if (field.required) say(field.name, "This is needed.");
  }
  return given;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  clear();
  const given = input();
  if (form.querySelector("[aria-invalid]")) {
    form.querySelector("[aria-invalid]").focus();
    return;
  }
  button.disabled = true;
  const data = form.dataset;
  try {
    const { did } = await ask(data.document, data.hash, { input: given });
    for (const { field, message } of did.userErrors) say(field && field[field.length - 1], message);
    if (did.userErrors.length === 0) {
      const tenant = did.tenant || (did.membership && did.membership.tenant);
      const done = document.getElementById("done");
      done.textContent = tenant ? `${tenant.name} (${tenant.slug}): ${data.done}` : data.done;
      form.remove();
      done.focus();
      // A session that began with the answer is nobody's: this page keeps none.
      if (did.session) await ask(data.signOut, data.signOutHash, {}, did.session.accessToken).catch(() => {});
    } else {
      (form.querySelector("[aria-invalid]") || button).focus();
    }
  } catch (error) {
    say(null, error instanceof TypeError || error instanceof SyntaxError ? "The server cannot be reached. Try again in a moment." : error.message);
  } finally {
    button.disabled = false;
  }
});

if (token === "") {
  say(null, "Open the link of the mail again: something of it is missing.");
  button.disabled = true;
}
