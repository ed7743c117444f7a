// The client preset of graphql-codegen, for a front end: `graphql-codegen --config codegen.js`.
import {addTypenameSelectionDocumentTransform} from '@graphql-codegen/client-preset';

/** @type {import('@graphql-codegen/cli').CodegenConfig} */
export default {
  schema: '../../../schema.graphql', // or a copy of it: `serve` answers no introspection
  documents: ['*.ts'],
  generates: {
    './gql/': {
      preset: 'client',
      documentTransforms: [addTypenameSelectionDocumentTransform], // caches need it, so it is part of what is hashed
      presetConfig: {persistedDocuments: true}, // gql/persisted-documents.json, for --trusted-documents
      config: {
        scalars: {DateTime: 'string', Decimal: 'string', JSON: 'unknown'},
        strictScalars: true, // a new scalar is an error here, not any
        enumsAsTypes: true,
        useTypeImports: true,
      },
    },
  },
  emitLegacyCommonJSImports: false,
};
