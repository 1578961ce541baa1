mod answers;
mod endings;
mod hosts;
mod redirects;
mod world;
