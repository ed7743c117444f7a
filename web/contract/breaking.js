// What the schema takes away from those who built on the last release.
import {CriticalityLevel, diff} from '@graphql-inspector/core';
import {buildSchema} from 'graphql';

// breaking lists the changes between two schemas that can break a client, each with
// the coordinate by which the changelog names it, such as Product.sku.
export async function breaking(released, current) {
  const changes = await diff(buildSchema(released), buildSchema(current));
  return changes
    .filter(c => c.criticality.level === CriticalityLevel.Breaking)
    .map(c => ({coordinate: c.path ?? '', message: c.message}));
}

// announced are the coordinates that a changelog names in backquotes, under Breaking
// of what is not released yet.
export function announced(changelog) {
  const [, unreleased = ''] = changelog.match(/^## Unreleased\n(.*?)(?=^## |$(?![^]))/ms) ?? [];
  const [, section = ''] = unreleased.match(/^### Breaking\n(.*?)(?=^### |$(?![^]))/ms) ?? [];
  return new Set([...section.matchAll(/`([^`]+)`/g)].map(m => m[1]));
}

// unannounced are the breaking changes that no line of the changelog names.
export async function unannounced(released, current, changelog) {
  const named = announced(changelog);
  return (await breaking(released, current)).filter(c => !named.has(c.coordinate));
}
