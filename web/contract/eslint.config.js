// How schema.graphql is linted. A rule that is off, or narrower than its authors
// have it, says why.
import graphql from '@graphql-eslint/eslint-plugin';

const {'flat/schema-recommended': recommended, 'flat/schema-relay': relay} = graphql.configs;

export default [{
  files: ['**/*.graphql'],
  languageOptions: {parser: graphql.parser, parserOptions: {graphQLConfig: {schema: new URL('../../schema.graphql', import.meta.url).pathname}}},
  plugins: {'@graphql-eslint': graphql},
  rules: {
    ...recommended.rules,
    ...relay.rules,
    // Everything that a user of the API meets is described, not types alone.
    '@graphql-eslint/require-description': ['error', {
      types: true, rootField: true, DirectiveDefinition: true, FieldDefinition: true,
      InputValueDefinition: true, EnumValueDefinition: true,
    }],
    // It wants one form everywhere. Here a sentence stands on its line in single quotation
    // marks, and a paragraph, such as that of the schema, in a block.
    '@graphql-eslint/description-style': 'off',
    // What has no identity has no id: a page and its edges, the answer of a mutation and
    // its errors, and the values below. Whatever else there is has one.
    '@graphql-eslint/strict-id-in-types': ['error', {
      acceptedIdNames: ['id'], acceptedIdTypes: ['ID'],
      exceptions: {
        suffixes: ['Connection', 'Edge', 'Payload', 'Error'],
        types: ['Membership', 'Money', 'Onboarding', 'OnboardingStep', 'PageInfo', 'Session', 'TenantStats', 'Viewer'],
      },
    }],
    // Connections have `nodes` beside `edges`, and what is short and has no cursor is a
    // plain list: permissions, the lines of an order, user errors. The entries of the two
    // logs are no nodes: nobody fetches one of them again, and lint.test.js sees that they
    // stay the only ones.
    '@graphql-eslint/relay-edge-types': ['error', {
      withEdgeSuffix: true, shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false,
    }],
  },
}];
