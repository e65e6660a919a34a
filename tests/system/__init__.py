"""The whole system: real servers, the threaded client, the network between them failing."""
