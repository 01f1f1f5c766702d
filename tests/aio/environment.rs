mod character_sets;
mod instrumentation;
mod lost_connections;
